package gateway

import (
	"encoding/json"
	"net/http"
)

// object is a JSON object.
type object map[string]any

// writeJSON answers with v. A client that has gone is no fault of the gateway's.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func openAIError(w http.ResponseWriter, status int, kind, code, message string) {
	writeJSON(w, status, object{"error": object{"message": message, "type": kind, "param": "", "code": code}})
}

func anthropicError(w http.ResponseWriter, status int, kind, message string) {
	writeJSON(w, status, object{"type": "error", "error": object{"type": kind, "message": message}})
}

func geminiError(w http.ResponseWriter, status int, kind, message string) {
	writeJSON(w, status, object{"error": object{"code": status, "message": message, "status": kind}})
}

// dashboardError is how the dashboard's API says 401.
func dashboardError(w http.ResponseWriter, code, message string) {
	writeJSON(w, http.StatusUnauthorized, object{"success": false, "code": code, "message": message})
}

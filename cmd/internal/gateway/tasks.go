package gateway

import (
	"encoding/base64"
	"io"
	"net/http"
)

// onePixel is a PNG of one transparent pixel.
const onePixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

// submitTask answers the picture, music and video APIs, which all take a task.
func (g *Gateway) submitTask(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	writeJSON(w, http.StatusOK, object{"code": 1, "description": "Submitted", "result": "task_demo", "id": "task_demo"})
}

func (g *Gateway) fetchTask(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, object{"id": "task_demo", "status": "SUCCESS", "progress": "100%"})
}

func (g *Gateway) image(w http.ResponseWriter, _ *http.Request) {
	picture, err := base64.StdEncoding.DecodeString(onePixel)
	if err != nil {
		openAIError(w, http.StatusInternalServerError, "server_error", "", err.Error())
		return
	}
	w.Header().Set("Content-Type", "image/png")
	_, _ = w.Write(picture)
}

func (g *Gateway) billing(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, object{"object": "billing_subscription", "hard_limit_usd": 100, "total_usage": 0})
}

func (g *Gateway) tokenUsage(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, object{
		"code": true, "message": "ok",
		"data": object{"object": "token_usage", "name": "demo", "total_granted": 100, "total_used": 0},
	})
}

func (g *Gateway) tokenLog(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, object{"success": true, "message": "", "data": []object{}})
}

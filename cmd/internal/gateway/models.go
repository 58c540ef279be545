package gateway

import (
	"net/http"
	"strings"
)

const createdAt = 1700000000

// listModels answers in the shape that the request's headers ask for.
func (g *Gateway) listModels(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("X-Api-Key") != "" && r.Header.Get("Anthropic-Version") != "":
		g.listModelsAnthropic(w, r)
	case r.Header.Get("X-Goog-Api-Key") != "" || r.URL.Query().Get("key") != "":
		g.listModelsGemini(w, r)
	default:
		g.listModelsOpenAI(w, r)
	}
}

func (g *Gateway) listModelsOpenAI(w http.ResponseWriter, _ *http.Request) {
	models := make([]object, 0, len(modelNames))
	for _, name := range modelNames {
		models = append(models, openAIModel(name))
	}
	writeJSON(w, http.StatusOK, object{"success": true, "object": "list", "data": models})
}

func (g *Gateway) listModelsAnthropic(w http.ResponseWriter, _ *http.Request) {
	models := make([]object, 0, len(modelNames))
	for _, name := range modelNames {
		models = append(models, object{"type": "model", "id": name, "display_name": name, "created_at": "2023-11-14T22:13:20Z"})
	}
	writeJSON(w, http.StatusOK, object{
		"data": models, "first_id": modelNames[0], "last_id": modelNames[len(modelNames)-1], "has_more": false,
	})
}

func (g *Gateway) listModelsGemini(w http.ResponseWriter, _ *http.Request) {
	models := make([]object, 0, len(modelNames))
	for _, name := range modelNames {
		models = append(models, object{
			"name": "models/" + name, "displayName": name,
			"supportedGenerationMethods": []string{"generateContent", "streamGenerateContent"},
		})
	}
	writeJSON(w, http.StatusOK, object{"models": models})
}

func (g *Gateway) oneModel(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/v1/models/")
	for _, known := range modelNames {
		if known == name {
			writeJSON(w, http.StatusOK, openAIModel(name))
			return
		}
	}
	openAIError(w, http.StatusNotFound, "invalid_request_error", "model_not_found", "The model "+name+" does not exist")
}

func openAIModel(name string) object {
	return object{"id": name, "object": "model", "created": createdAt, "owned_by": "demo"}
}

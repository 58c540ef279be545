package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
)

type geminiRequest struct {
	Contents         any `json:"contents"`
	GenerationConfig struct {
		MaxOutputTokens int `json:"maxOutputTokens"`
	} `json:"generationConfig"`
}

// generateContent is POST …/models/{model}:{action}, for both actions.
func (g *Gateway) generateContent(w http.ResponseWriter, r *http.Request) {
	_, last, _ := strings.Cut(r.URL.Path, "/models/")
	model, action, _ := strings.Cut(last, ":")
	if action != "generateContent" && action != "streamGenerateContent" {
		geminiError(w, http.StatusNotFound, "NOT_FOUND", "unknown action "+action)
		return
	}
	var asked geminiRequest
	if err := readJSON(r, &asked); err != nil {
		geminiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", err.Error())
		return
	}
	if fault, failing := faultOf(model); failing {
		geminiError(w, fault.status, fault.gemini, fault.message)
		return
	}
	said, err := g.newReply(r, model, promptText(asked.Contents), asked.GenerationConfig.MaxOutputTokens)
	if err != nil {
		geminiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", err.Error())
		return
	}
	if action == "streamGenerateContent" {
		streamContent(w, r, model, said)
		return
	}
	if pause(r.Context(), said.delay) != nil {
		return
	}
	writeJSON(w, http.StatusOK, geminiCandidate(model, said.text(), said.finish("STOP", "MAX_TOKENS"), said))
}

// streamContent sends server-sent events with ?alt=sse, and a JSON array that
// grows piece by piece without.
func streamContent(w http.ResponseWriter, r *http.Request, model string, said reply) {
	events := newStream(w, r, said.delay)
	events.end = "\r\n\r\n"
	send := func(candidate object) error { return events.send("", candidate) }
	finish := func() error { return nil }
	if r.URL.Query().Get("alt") != "sse" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		separator := "["
		send = func(candidate object) error {
			data, err := json.Marshal(candidate)
			if err != nil {
				return err
			}
			text := separator + string(data)
			separator = ",\r\n"
			return events.write(text)
		}
		finish = func() error { return events.write("]") }
	}
	err := events.words(said, func(word string) error {
		return send(geminiCandidate(model, word, nil, said))
	})
	if err != nil || send(geminiCandidate(model, "", said.finish("STOP", "MAX_TOKENS"), said)) != nil {
		return
	}
	_ = finish()
}

func geminiCandidate(model, text string, finish any, said reply) object {
	candidate := object{"index": 0, "content": object{"role": "model", "parts": []object{{"text": text}}}}
	if finish != nil {
		candidate["finishReason"] = finish
	}
	return object{
		"modelVersion": model,
		"candidates":   []object{candidate},
		"usageMetadata": object{
			"promptTokenCount": said.prompt, "candidatesTokenCount": said.count, "totalTokenCount": said.prompt + said.count,
		},
	}
}

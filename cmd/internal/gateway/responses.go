package gateway

import "net/http"

type responsesRequest struct {
	Model           string `json:"model"`
	Input           any    `json:"input"`
	Stream          bool   `json:"stream"`
	MaxOutputTokens int    `json:"max_output_tokens"`
}

// responses is POST /v1/responses.
func (g *Gateway) responses(w http.ResponseWriter, r *http.Request) {
	var asked responsesRequest
	if err := readJSON(r, &asked); err != nil {
		openAIError(w, http.StatusBadRequest, "invalid_request_error", "", err.Error())
		return
	}
	if fault, failing := faultOf(asked.Model); failing {
		openAIError(w, fault.status, fault.openAI, "", fault.message)
		return
	}
	said, err := g.newReply(r, asked.Model, promptText(asked.Input), asked.MaxOutputTokens)
	if err != nil {
		openAIError(w, http.StatusBadRequest, "invalid_request_error", "", err.Error())
		return
	}
	if asked.Stream {
		streamResponse(w, r, asked.Model, said)
		return
	}
	if pause(r.Context(), said.delay) != nil {
		return
	}
	writeJSON(w, http.StatusOK, wholeResponse(asked.Model, said))
}

func streamResponse(w http.ResponseWriter, r *http.Request, model string, said reply) {
	events := newStream(w, r, said.delay)
	sequence := 0
	send := func(kind string, data object) error {
		data["type"], data["sequence_number"] = kind, sequence
		sequence++
		return events.send(kind, data)
	}
	begun := wholeResponse(model, said)
	begun["status"], begun["output"], begun["usage"] = "in_progress", []object{}, nil
	if send("response.created", object{"response": begun}) != nil {
		return
	}
	item := object{"id": "msg_demo", "type": "message", "role": "assistant", "status": "in_progress", "content": []object{}}
	if send("response.output_item.added", object{"output_index": 0, "item": item}) != nil {
		return
	}
	err := events.words(said, func(word string) error {
		return send("response.output_text.delta", object{
			"item_id": "msg_demo", "output_index": 0, "content_index": 0, "delta": word, "logprobs": []object{},
		})
	})
	if err != nil {
		return
	}
	if send("response.output_item.done", object{"output_index": 0, "item": outputMessage(said)}) != nil {
		return
	}
	_ = send("response.completed", object{"response": wholeResponse(model, said)})
}

func wholeResponse(model string, said reply) object {
	return object{
		"id": "resp_demo", "object": "response", "created_at": createdAt, "status": "completed", "model": model,
		"output": []object{outputMessage(said)},
		"usage":  object{"input_tokens": said.prompt, "output_tokens": said.count, "total_tokens": said.prompt + said.count},
	}
}

func outputMessage(said reply) object {
	return object{
		"id": "msg_demo", "type": "message", "role": "assistant", "status": "completed",
		"content": []object{{"type": "output_text", "text": said.text(), "annotations": []object{}}},
	}
}

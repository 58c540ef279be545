package gateway

import "net/http"

type messagesRequest struct {
	Model     string `json:"model"`
	Messages  any    `json:"messages"`
	Stream    bool   `json:"stream"`
	MaxTokens int    `json:"max_tokens"`
}

// messages is POST /v1/messages.
func (g *Gateway) messages(w http.ResponseWriter, r *http.Request) {
	var asked messagesRequest
	if err := readJSON(r, &asked); err != nil {
		anthropicError(w, http.StatusBadRequest, "invalid_request_error", err.Error())
		return
	}
	if fault, failing := faultOf(asked.Model); failing {
		anthropicError(w, fault.status, fault.anthropic, fault.message)
		return
	}
	said, err := g.newReply(r, asked.Model, promptText(asked.Messages), asked.MaxTokens)
	if err != nil {
		anthropicError(w, http.StatusBadRequest, "invalid_request_error", err.Error())
		return
	}
	if asked.Stream {
		streamMessage(w, r, asked, said)
		return
	}
	if pause(r.Context(), said.delay) != nil {
		return
	}
	message := emptyMessage(asked, said)
	message["content"] = []object{{"type": "text", "text": said.text()}}
	message["stop_reason"] = said.finish("end_turn", "max_tokens")
	message["usage"] = object{"input_tokens": said.prompt, "output_tokens": said.count}
	writeJSON(w, http.StatusOK, message)
}

func streamMessage(w http.ResponseWriter, r *http.Request, asked messagesRequest, said reply) {
	events := newStream(w, r, said.delay)
	err := events.sendAll(
		event{"message_start", object{"type": "message_start", "message": emptyMessage(asked, said)}},
		event{"content_block_start", object{"type": "content_block_start", "index": 0, "content_block": object{"type": "text", "text": ""}}},
		event{"ping", object{"type": "ping"}},
	)
	if err != nil {
		return
	}
	err = events.words(said, func(word string) error {
		return events.send("content_block_delta", object{
			"type": "content_block_delta", "index": 0, "delta": object{"type": "text_delta", "text": word},
		})
	})
	if err != nil {
		return
	}
	_ = events.sendAll(
		event{"content_block_stop", object{"type": "content_block_stop", "index": 0}},
		event{"message_delta", object{
			"type":  "message_delta",
			"delta": object{"stop_reason": said.finish("end_turn", "max_tokens"), "stop_sequence": nil},
			"usage": object{"output_tokens": said.count},
		}},
		event{"message_stop", object{"type": "message_stop"}},
	)
}

func emptyMessage(asked messagesRequest, said reply) object {
	return object{
		"id": "msg_demo", "type": "message", "role": "assistant", "model": asked.Model,
		"content": []object{}, "stop_reason": nil, "stop_sequence": nil,
		"usage": object{"input_tokens": said.prompt, "output_tokens": 0},
	}
}

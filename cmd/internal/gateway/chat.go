package gateway

import "net/http"

type chatRequest struct {
	Model         string `json:"model"`
	Messages      any    `json:"messages"`
	Stream        bool   `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           int `json:"max_tokens"`
	MaxCompletionTokens int `json:"max_completion_tokens"`
}

// chat is POST /v1/chat/completions.
func (g *Gateway) chat(w http.ResponseWriter, r *http.Request) {
	var asked chatRequest
	if err := readJSON(r, &asked); err != nil {
		openAIError(w, http.StatusBadRequest, "invalid_request_error", "", err.Error())
		return
	}
	if fault, failing := faultOf(asked.Model); failing {
		openAIError(w, fault.status, fault.openAI, "", fault.message)
		return
	}
	said, err := g.newReply(r, asked.Model, promptText(asked.Messages), max(asked.MaxTokens, asked.MaxCompletionTokens))
	if err != nil {
		openAIError(w, http.StatusBadRequest, "invalid_request_error", "", err.Error())
		return
	}
	if asked.Stream {
		streamChat(w, r, asked, said)
		return
	}
	if pause(r.Context(), said.delay) != nil {
		return
	}
	writeJSON(w, http.StatusOK, object{
		"id": "chatcmpl-demo", "object": "chat.completion", "created": createdAt, "model": asked.Model,
		"choices": []object{{
			"index": 0, "finish_reason": said.finish("stop", "length"), "logprobs": nil,
			"message": object{"role": "assistant", "content": said.text(), "refusal": nil},
		}},
		"usage": openAIUsage(said),
	})
}

// streamChat sends the reply word by word; the first chunk, with the role
// alone, goes out at once.
func streamChat(w http.ResponseWriter, r *http.Request, asked chatRequest, said reply) {
	events := newStream(w, r, said.delay)
	chunk := func(choices ...object) object {
		return object{
			"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": createdAt, "model": asked.Model,
			"choices": choices,
		}
	}
	delta := func(delta object, finish any) object {
		return chunk(object{"index": 0, "delta": delta, "finish_reason": finish})
	}
	if events.send("", delta(object{"role": "assistant", "content": ""}, nil)) != nil {
		return
	}
	err := events.words(said, func(word string) error {
		return events.send("", delta(object{"content": word}, nil))
	})
	if err != nil || events.send("", delta(object{}, said.finish("stop", "length"))) != nil {
		return
	}
	if asked.StreamOptions.IncludeUsage {
		last := chunk()
		last["choices"], last["usage"] = []object{}, openAIUsage(said)
		if events.send("", last) != nil {
			return
		}
	}
	_ = events.write("data: [DONE]\n\n")
}

func openAIUsage(said reply) object {
	return object{"prompt_tokens": said.prompt, "completion_tokens": said.count, "total_tokens": said.prompt + said.count}
}

package gateway

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/http"
)

type embeddingsRequest struct {
	Model          string `json:"model"`
	Input          any    `json:"input"`
	EncodingFormat string `json:"encoding_format"`
}

// embeddings is POST /v1/embeddings. Each input gets the same small vector.
func (g *Gateway) embeddings(w http.ResponseWriter, r *http.Request) {
	var asked embeddingsRequest
	if err := readJSON(r, &asked); err != nil {
		openAIError(w, http.StatusBadRequest, "invalid_request_error", "", err.Error())
		return
	}
	if fault, failing := faultOf(asked.Model); failing {
		openAIError(w, fault.status, fault.openAI, "", fault.message)
		return
	}
	inputs, several := asked.Input.([]any)
	if !several {
		inputs = []any{asked.Input}
	}
	vectors := make([]object, 0, len(inputs))
	for i := range inputs {
		vectors = append(vectors, object{"object": "embedding", "index": i, "embedding": vector(asked.EncodingFormat)})
	}
	writeJSON(w, http.StatusOK, object{
		"object": "list", "model": asked.Model, "data": vectors,
		"usage": object{"prompt_tokens": len(inputs), "total_tokens": len(inputs)},
	})
}

func vector(format string) any {
	values := []float32{0.25, -0.5, 0.75, 1}
	if format != "base64" {
		return values
	}
	raw := make([]byte, 0, 4*len(values))
	for _, value := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(value))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

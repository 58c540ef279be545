package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
)

// maxSuccessBytes is how much of an answer is held back to find its "success".
// Refusals are short: what is longer is no refusal.
const maxSuccessBytes = 8 << 20

// readSuccess reads the body of an answer and reports whether it is a JSON
// object with "success":true. The body can be read again afterwards. It is for
// the few routes on which New API answers refusals with 200.
func readSuccess(res *http.Response) bool {
	head, err := io.ReadAll(io.LimitReader(res.Body, maxSuccessBytes))
	var rest io.Reader = res.Body
	if err != nil {
		rest = failingReader{err}
	}
	res.Body = &replayedBody{io.MultiReader(bytes.NewReader(head), rest), res.Body}
	if err != nil {
		return false
	}
	if len(head) == maxSuccessBytes {
		return true
	}
	var answer struct {
		Success bool `json:"success"`
	}
	return json.Unmarshal(head, &answer) == nil && answer.Success
}

type replayedBody struct {
	io.Reader
	io.Closer
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

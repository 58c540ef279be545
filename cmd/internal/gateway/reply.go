package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Models that the gateway offers. Those after the first three do what their
// names say.
const (
	modelChat      = "demo-chat"
	modelRealtime  = "demo-realtime"
	modelEmbedding = "demo-embedding"
	modelSlow      = "demo-slow"  // streams for five minutes unless told otherwise
	modelError     = "demo-error" // always answers 500
	modelLimited   = "demo-429"   // always answers 429
)

var modelNames = []string{modelChat, modelRealtime, modelEmbedding, modelSlow, modelError, modelLimited}

const (
	slowWords    = 3000
	slowDelay    = 100 * time.Millisecond
	maxBodyBytes = 64 << 20
)

// reply is what a model says: a number of words, taken in turn from a sentence.
type reply struct {
	vocabulary []string
	count      int
	cut        bool // by the client's limit
	prompt     int  // words of the prompt
	delay      time.Duration
}

// newReply answers the prompt in at most limit words; 0 means no limit. The
// header X-Demo-Delay beats the delay of the model and of the options.
func (g *Gateway) newReply(r *http.Request, model, prompt string, limit int) (reply, error) {
	words := strings.Fields("Hello from the demo gateway. You said: " + prompt)
	said := reply{vocabulary: words, count: len(words), prompt: len(strings.Fields(prompt)), delay: g.opts.ChunkDelay}
	if model == modelSlow {
		said.count, said.delay = slowWords, slowDelay
	}
	if limit > 0 && limit < said.count {
		said.count, said.cut = limit, true
	}
	if text := r.Header.Get("X-Demo-Delay"); text != "" {
		delay, err := time.ParseDuration(text)
		if err != nil {
			return reply{}, fmt.Errorf("X-Demo-Delay: %w", err)
		}
		said.delay = delay
	}
	return said, nil
}

// word returns the i-th word with the space before it.
func (s reply) word(i int) string {
	word := s.vocabulary[i%len(s.vocabulary)]
	if i == 0 {
		return word
	}
	return " " + word
}

func (s reply) text() string {
	var text strings.Builder
	for i := range s.count {
		text.WriteString(s.word(i))
	}
	return text.String()
}

// finish picks the word for how the reply ended.
func (s reply) finish(whole, cut string) string {
	if s.cut {
		return cut
	}
	return whole
}

// readJSON reads the whole body: only then does net/http notice that a client
// goes away.
func readJSON(r *http.Request, v any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes+1))
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if len(body) > maxBodyBytes {
		return errors.New("body too large")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("parse body: %w", err)
	}
	return nil
}

// promptText digs the text out of a prompt in whichever form the APIs allow: a
// string, a list of messages, parts of text.
func promptText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		texts := make([]string, 0, len(v))
		for _, item := range v {
			if text := promptText(item); text != "" {
				texts = append(texts, text)
			}
		}
		return strings.Join(texts, " ")
	case map[string]any:
		for _, name := range []string{"text", "content", "parts"} {
			if text := promptText(v[name]); text != "" {
				return text
			}
		}
	}
	return ""
}

// fault is the failure that a model stands for, and its name in each API.
type fault struct {
	status                    int
	openAI, anthropic, gemini string
	message                   string
}

func faultOf(model string) (fault, bool) {
	switch model {
	case modelError:
		return fault{http.StatusInternalServerError, "server_error", "api_error", "INTERNAL", "the demo model failed, as asked"}, true
	case modelLimited:
		return fault{http.StatusTooManyRequests, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED", "the demo model is busy, as asked"}, true
	}
	return fault{}, false
}

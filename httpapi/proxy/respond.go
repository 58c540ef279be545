package proxy

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
)

// Codes of refusals that do not come from the engine.
const (
	codeBodyTooLarge          = "body_too_large"
	codeHeadTooLarge          = "head_too_large"
	codeInvalidRequest        = "invalid_request"
	codeDownstreamUnreachable = "downstream_unreachable"
	codeDownstreamTimeout     = "downstream_timeout"
)

// errorBody is what clients see of a refusal: the shape of OpenAI's errors, so
// that SDKs print the message, beside the older detail.
type errorBody struct {
	Detail string      `json:"detail"`
	Error  errorObject `json:"error"`
}

type errorObject struct {
	Message   string  `json:"message"`
	Type      string  `json:"type"`
	Code      string  `json:"code"`
	Param     *string `json:"param"`
	RequestID string  `json:"request_id"`
}

// statusOf is the one place where a decision becomes a status.
func statusOf(r engine.Reason) int {
	switch r {
	case engine.InvalidClientIP, engine.InvalidCredential:
		return http.StatusBadRequest
	case engine.InvalidAPIKey, engine.CredentialRequired:
		return http.StatusUnauthorized
	case engine.RateLimited:
		return http.StatusTooManyRequests
	case engine.StoreUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusForbidden
	}
}

func (p *Proxy) refuse(x *exchange, d engine.Decision) {
	x.respond(statusOf(d.Refused), string(d.Refused), d.Detail, d.RetryAfter)
}

// respond writes a refusal.
func (x *exchange) respond(status int, code, message string, retryAfter time.Duration) {
	body, err := json.Marshal(errorBody{
		Detail: message,
		Error:  errorObject{Message: message, Type: "sentinel_error", Code: code, RequestID: x.RequestID()},
	})
	if err != nil {
		panic(http.ErrAbortHandler) // two structs of strings: cannot be
	}
	h := x.w.Header()
	clear(h)
	x.answerEarly()
	x.boundRest()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Request-Id", x.RequestID())
	if status == http.StatusUnauthorized {
		h.Set("Www-Authenticate", "Bearer")
	}
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
	}
	x.w.WriteHeader(status)
	if x.request.Method != http.MethodHead {
		_, _ = x.w.Write(body) // a client that has gone is no fault
	}
}

func bodyTooLarge(limit int64) string {
	return fmt.Sprintf("The body of the request is larger than the %d bytes that are allowed.", limit)
}

package admin

import (
	"context"
	"regexp"
	"strings"
)

// Wording tells programs which text a text for people is, so that they can say it
// in another language. It is embedded, and so exported.
type Wording struct {
	Code   string            `json:"code,omitempty" doc:"Which text the message is, for who says it in another language; absent if it is none of the fixed ones." example:"prefix_host_bits"`
	Params map[string]string `json:"params,omitempty" doc:"What stands in the message, by name."`
}

// warning is something odd that did not keep a change from being made.
type warning struct {
	Message string `json:"message" doc:"What is odd, for people to read."`
	Wording
}

func warningsOf(texts []string) (list []warning) {
	for _, text := range texts {
		list = append(list, warning{text, wordingOf(text)})
	}
	return list
}

// failure is why something did not go well.
type failure struct {
	Message string `json:"message" doc:"What went wrong, for people to read."`
	Wording
}

// failureOf says why a channel, or what watches over it, did not get through; nil
// if nothing is said.
func failureOf(message string) *failure {
	if message == "" {
		return nil
	}
	return &failure{message, wordingIn(deliveryTexts, message)}
}

// firstFailure says why the first of many changes was not made, unless an earlier
// one is known. As with any answer, what callers cannot mend is only in the log.
func (a *API) firstFailure(ctx context.Context, known *failure, err error) *failure {
	if known != nil || err == nil {
		return known
	}
	fault := a.faultOf(ctx, err)
	return &failure{fault.detail, wordingOf(fault.detail)}
}

// text is a fixed text, with names in braces for what differs from time to time.
type text struct{ code, template string }

type compiledText struct {
	code    string
	pattern *regexp.Regexp
}

var textParam = regexp.MustCompile(`\\\{(\w+)\\\}`)

func compileTexts(list []text) []compiledText {
	compiled := make([]compiledText, len(list))
	for i, t := range list {
		pattern := textParam.ReplaceAllString(regexp.QuoteMeta(t.template), `(?P<$1>.+?)`)
		compiled[i] = compiledText{t.code, regexp.MustCompile(`(?s)^` + pattern + `$`)}
	}
	return compiled
}

// wordingOf finds the fixed text that a message is made of. Packages below write
// their errors for people; here is the one place where they become codes, rather
// than in every one of them.
func wordingOf(message string) Wording {
	if w := wordingIn(texts, message); w.Code != "" {
		return w
	}
	if rest := withoutField(message); rest != message {
		return wordingIn(texts, rest)
	}
	return Wording{}
}

func wordingIn(list []compiledText, message string) Wording {
	for _, t := range list {
		values := t.pattern.FindStringSubmatch(message)
		if values == nil {
			continue
		}
		w := Wording{Code: t.code}
		for i, name := range t.pattern.SubexpNames()[1:] {
			if w.Params == nil {
				w.Params = make(map[string]string)
			}
			w.Params[name] = values[i+1]
		}
		return w
	}
	return Wording{}
}

// withoutField cuts off the name of the field that some texts begin with.
func withoutField(message string) string {
	for _, field := range []string{"rule ", "label ", "note ", "hint "} {
		if rest, ok := strings.CutPrefix(message, field); ok {
			return rest
		}
	}
	return message
}

package admin

import (
	"net/http"
	"strconv"
	"strings"
)

// IfMatch is the header by which a change says which revision it is made of,
// RFC 9110 section 13.1.1. It is embedded in inputs; exported, since huma passes
// over embedded types that are not.
type IfMatch struct {
	IfMatch string `header:"If-Match" example:"\"42\"" doc:"The ETag that was read. If it is another one now, nothing is changed and the answer is 412. Without it, or with *, the change is made to whatever is there now."`
}

// revision returns the revision that is wanted; 0 is any.
func (m IfMatch) revision() (uint64, error) {
	text := strings.TrimSpace(m.IfMatch)
	if text == "" || text == "*" {
		return 0, nil
	}
	digits, opened := strings.CutPrefix(text, `"`)
	digits, closed := strings.CutSuffix(digits, `"`)
	n, err := strconv.ParseUint(digits, 10, 64)
	if !opened || !closed || err != nil || n == 0 || strconv.FormatUint(n, 10) != digits {
		// A weak tag or a list is no revision of ours, and so matches nothing.
		return 0, faultf(http.StatusPreconditionFailed, "changed_meanwhile", "If-Match is not the ETag of any revision, which is a number in quotes")
	}
	return n, nil
}

// ETag is the header by which an answer says its revision. It is embedded in
// outputs, and exported for the same reason.
type ETag struct {
	ETag string `header:"ETag" doc:"The revision, for If-Match."`
}

func etagOf(revision uint64) ETag { return ETag{`"` + strconv.FormatUint(revision, 10) + `"`} }

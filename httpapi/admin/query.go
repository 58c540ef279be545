package admin

import (
	"net/url"
	"slices"
	"strings"
)

// checkQuery refuses a query that could be read in more than one way: of a
// parameter that comes twice only the first would be heeded, and one that is
// broken would be passed over. A filter that is not heeded chooses more than was
// meant.
func checkQuery(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return invalidField("query", "is broken: it has a semicolon, or a %% that is no escape")
	}
	var f faults
	for name, all := range values {
		if len(all) > 1 {
			f.addf("query."+name, "is there more than once")
		}
	}
	slices.SortFunc(f, func(a, b fieldFault) int { return strings.Compare(a.Location, b.Location) })
	return f.err()
}

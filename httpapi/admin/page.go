package admin

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/key-ip-sentinel/sentinel/store"
)

// page is one page of a list.
type page[T any] struct {
	Items []T    `json:"items" doc:"In the order asked for."`
	Next  string `json:"next,omitempty" doc:"Send it as after to get the next page; absent on the last one."`
	Total *int   `json:"total,omitempty" doc:"How many there are on all pages, where that is known."`
}

// PageInput is what every list takes, in a query or in a body.
type PageInput struct {
	Limit int    `query:"limit" json:"limit,omitempty" minimum:"1" maximum:"1000" default:"50" doc:"How many items a page has at most."`
	After string `query:"after" json:"after,omitempty" maxLength:"1024" doc:"The next of the page before; absent for the first page."`
}

// pageLimit is how many rows are read at a time where all are wanted.
const pageLimit = store.MaxPage

// idCursor makes the cursor of a list that is ordered by ID, newest first: the
// next page has only IDs below this one. 0 is the end.
func idCursor(before uint64) string {
	if before == 0 {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, before))
}

// parseIDCursor reads what idCursor wrote. The fault names the place that the
// cursor came from.
func parseIDCursor(location, cursor string) (uint64, error) {
	if cursor == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) != 8 {
		return 0, wrongCursor(location)
	}
	before := binary.BigEndian.Uint64(raw)
	if idCursor(before) != cursor { // base64 passes over line breaks; and 0 is none
		return 0, wrongCursor(location)
	}
	return before, nil
}

func wrongCursor(location string) *faultError {
	return invalidField(location, "is no cursor of this list: send the next of an answer to the same request, or nothing")
}

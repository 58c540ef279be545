package client

import "fmt"

// Failure is why something did not go well; empty: it did.
type Failure struct {
	Message string `json:"message"`
}

// Warning is something odd that did not keep a change from being made.
type Warning struct {
	Row     int    `json:"row"` // of an import; the header is none, and 0 is no row at all
	Message string `json:"message"`
}

// String says the row where there is one.
func (w Warning) String() string {
	if w.Row == 0 {
		return w.Message
	}
	return fmt.Sprintf("row %d: %s", w.Row, w.Message)
}

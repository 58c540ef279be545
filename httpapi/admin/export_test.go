package admin

import "time"

// SetStreamTimes sets how often listeners to events get a comment and are
// checked.
func (a *API) SetStreamTimes(ping, recheck time.Duration) {
	a.streams.ping, a.streams.recheck = ping, recheck
}

// MaxStreams is how many may listen to events at a time.
const MaxStreams = maxStreams

// Listening returns how many listen to events now.
func (a *API) Listening() int { return len(a.streams.slots) }

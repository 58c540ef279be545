package store

import "runtime"

// rowsAtOnce is how many rows of work pass before requests are let go first: some
// 50 µs.
const rowsAtOnce = 32

// GiveWay is called with each row of work that goes on behind the requests' back, by
// its number. Every few rows it lets all other goroutines that are ready run first:
// without that the scheduler lets the work have a processor for 10 ms at a time,
// and the requests on that processor wait as long.
func GiveWay(row int) {
	if row%rowsAtOnce == rowsAtOnce-1 {
		runtime.Gosched()
	}
}

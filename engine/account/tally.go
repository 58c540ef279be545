package account

import "time"

// tallyMinutes is the window in minutes, and one for the minute that is not over.
const tallyMinutes = int64(window/time.Minute) + 1

// tally counts failures by the minute, over the window. Minutes are counted from
// any start, and do not go back.
type tally struct {
	latest  int64 // minute of the last failure
	minutes [tallyMinutes]uint16
}

// since returns how many failures are within the window that ends in a minute.
func (t tally) since(minute int64) int {
	n := 0
	for m := max(minute, t.latest) - tallyMinutes + 1; m <= t.latest; m++ {
		n += int(t.minutes[slot(m)])
	}
	return n
}

// add returns t with one more failure.
func (t tally) add(minute int64) tally {
	minute = max(minute, t.latest)
	for m := max(t.latest, minute-tallyMinutes) + 1; m <= minute; m++ {
		t.minutes[slot(m)] = 0
	}
	t.latest = minute
	if i := slot(minute); t.minutes[i] < 1<<16-1 {
		t.minutes[i]++
	}
	return t
}

func slot(minute int64) int { return int((minute%tallyMinutes + tallyMinutes) % tallyMinutes) }

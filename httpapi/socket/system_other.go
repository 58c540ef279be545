//go:build !unix

package socket

// Supported says whether this system lets a connection be looked at without
// reading from it.
const Supported = false

type system struct{}

func (*system) init(*Reader) {}

// IsQuiet is false: nobody can tell.
func (*Reader) IsQuiet() bool { return false }

// AwaitEnd reports false at once: nobody can tell.
func (*Reader) AwaitEnd() bool { return false }

// Ask does nothing.
func (*Reader) Ask([]byte, func()) int { return 0 }

func (r *Reader) fillEmpty() error { return r.fillHolding() }

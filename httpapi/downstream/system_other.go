//go:build !unix

package downstream

// Supported says whether this system lets a connection be looked at without
// reading from it.
const Supported = false

type system struct{}

func (*system) init(*conn) {}

func (c *conn) isQuiet() bool { return false }

func (c *conn) fill(r *reader) error { return c.fillHolding(r) }

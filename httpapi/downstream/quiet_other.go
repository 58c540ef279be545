//go:build !unix

package downstream

// Supported says whether this system lets a connection be looked at without
// reading from it.
const Supported = false

func (c *conn) isQuiet() bool { return false }

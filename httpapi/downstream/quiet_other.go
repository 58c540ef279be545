//go:build !unix

package downstream

import "net"

// Supported says whether this system lets a connection be looked at without
// reading from it.
const Supported = false

type look struct{}

func (*look) init(net.Conn) {}

func (c *conn) isQuiet() bool { return false }

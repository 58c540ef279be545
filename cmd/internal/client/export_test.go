package client

import "net/http"

// UsesProxy reports whether the client asks the environment for a proxy.
func UsesProxy(c *Client) bool { return c.http.Transport.(*http.Transport).Proxy != nil }

package httpapi

// LookNow makes the next handshake look at the files.
func (c *Certificate) LookNow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked = c.looked.Add(-lookEvery)
}

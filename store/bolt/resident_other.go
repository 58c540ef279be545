//go:build !linux

package bolt

// Where it is not known how to give pages back, they stay.

func (s *Store) trimNow()  {}
func (s *Store) noteRead() {}

package bolt

// LogAll has the usage of every batch logged, however few keys it has.
func (s *Store) LogAll() { s.log.from = 1 }

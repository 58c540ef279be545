package postgres

// Queued returns how many changes wait for the transaction under way.
func (s *Store) Queued() int {
	s.queueMu.Lock()
	defer s.queueMu.Unlock()
	return len(s.queue)
}

// Connections returns how many connections calls share at the moment.
func (s *Store) Connections() int { return int(s.pool.Stat().TotalConns()) }

package postgres

// Queued returns how many changes wait for the transaction under way.
func (s *Store) Queued() int { return s.queue.Len() }

// Connections returns how many connections calls share at the moment.
func (s *Store) Connections() int { return int(s.pool.Stat().TotalConns()) }

package engine

// Flights returns how many exchanges are registered, each once for each key.
func (e *Engine) Flights() int { return e.flights.count() }

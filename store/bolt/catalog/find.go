package catalog

import (
	"runtime"
	"slices"
	"sync"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Page is the answer to a query.
type Page struct {
	Hashes []store.KeyHash // in the order asked for
	Next   string          // as store.BindingPage has it
	Total  int
}

// Find answers a query: one scan, which keeps the best rows behind the cursor in
// a heap that is as large as the page.
func (c *Catalog) Find(q *Query) Page {
	s := selection{q: q}
	switch {
	case q.nothing:
	case len(q.hashes) > 0:
		for _, hash := range q.hashes {
			if i, found := c.index(hash); found {
				s.offer(c, &c.shards[shardOf(hash)][i])
			}
		}
	default:
		s = c.scan(q)
	}
	return s.page()
}

const (
	// maxWorkers is how many processors a scan takes: it lasts some 20 ms, and
	// requests want some too.
	maxWorkers = 4
	// rowsOfWorker is for how many rows another worker is worth its start.
	rowsOfWorker = 20_000
	// shardsAtOnce is how many shards a scan looks at before it lets requests go first:
	// with a million bindings, they take it some 100 µs.
	shardsAtOnce = 16
)

// scan looks at all rows, each worker at a part of the shards.
func (c *Catalog) scan(q *Query) selection {
	parts := make([]selection, min(runtime.GOMAXPROCS(0), maxWorkers, 1+c.Len()/rowsOfWorker))
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() {
			part := selection{q: q} // apart from those of others, or the processors would wait for each other
			part.scan(c, c.shards[i*shards/len(parts):(i+1)*shards/len(parts)])
			parts[i] = part
		})
	}
	wg.Wait()
	whole := parts[0]
	for _, part := range parts[1:] {
		whole.merge(part)
	}
	return whole
}

// selection is a page that grows.
type selection struct {
	q     *Query
	total int     // rows that match
	rest  int     // those of them behind the cursor
	best  []point // the first of these; a heap with the last of them on top
}

// scan goes through rows in the order in which the query has equals, of which there
// can be many: so those that come later are not better.
func (s *selection) scan(c *Catalog, shards [][]row) {
	if !s.q.descending {
		for n, rows := range shards {
			giveWay(n)
			for i := range rows {
				s.offer(c, &rows[i])
			}
		}
		return
	}
	for n, rows := range slices.Backward(shards) {
		giveWay(n)
		for i := len(rows) - 1; i >= 0; i-- {
			s.offer(c, &rows[i])
		}
	}
}

// giveWay lets requests go first now and then, in a scan that has come to a shard.
func giveWay(shard int) {
	if shard%shardsAtOnce == 0 {
		runtime.Gosched()
	}
}

// merge adds what was selected among other rows.
func (s *selection) merge(other selection) {
	s.total += other.total
	s.rest += other.rest
	for _, p := range other.best {
		s.insert(p)
	}
}

func (s *selection) offer(c *Catalog, r *row) {
	q := s.q
	if q.narrows && !q.matches(c, r) {
		return
	}
	s.total++
	key := q.keyOf(r)
	if len(s.best) == q.limit && key > s.best[0].key {
		s.rest++ // behind the page: most rows end here
		return
	}
	p := q.pointOf(c, r, key)
	if q.after == nil || q.compare(&p, q.after) > 0 {
		s.rest++
		s.insert(p)
	}
}

// insert takes a point among the best, if it is one of them.
func (s *selection) insert(p point) {
	if len(s.best) < s.q.limit {
		s.best = append(s.best, p)
		s.up(len(s.best) - 1)
		return
	}
	if s.q.compare(&p, &s.best[0]) < 0 {
		s.best[0] = p
		s.down()
	}
}

func (s *selection) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if s.q.compare(&s.best[i], &s.best[parent]) <= 0 {
			return
		}
		s.best[i], s.best[parent] = s.best[parent], s.best[i]
		i = parent
	}
}

func (s *selection) down() {
	for i := 0; ; {
		last := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(s.best); child++ {
			if s.q.compare(&s.best[child], &s.best[last]) > 0 {
				last = child
			}
		}
		if last == i {
			return
		}
		s.best[i], s.best[last] = s.best[last], s.best[i]
		i = last
	}
}

func (s *selection) page() Page {
	slices.SortFunc(s.best, func(a, b point) int { return s.q.compare(&a, &b) })
	page := Page{Total: s.total, Hashes: make([]store.KeyHash, len(s.best))}
	for i, p := range s.best {
		page.Hashes[i] = *p.hash
	}
	if s.rest > len(s.best) {
		page.Next = s.q.cursor(s.best[len(s.best)-1])
	}
	return page
}

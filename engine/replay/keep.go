package replay

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// keySet counts keys, told apart by 64 bits of their hashes: of a million
// keys, two are alike with a chance of 1 to 37 million.
type keySet struct {
	ids    []uint64
	sorted int // how many of ids are in order, each once
}

// unsorted is how many of ids may be out of order before they are put in order.
const unsorted = 4096

func (s *keySet) add(hash store.KeyHash) {
	id := binary.BigEndian.Uint64(hash[:])
	if n := len(s.ids); n > 0 && s.ids[n-1] == id {
		return
	}
	s.ids = append(s.ids, id)
	if len(s.ids)-s.sorted > max(unsorted, s.sorted/4) {
		s.sort()
	}
}

func (s *keySet) sort() {
	if s.sorted < len(s.ids) {
		slices.Sort(s.ids)
		s.ids = slices.Compact(s.ids)
		s.sorted = len(s.ids)
	}
}

func (s *keySet) len() int {
	s.sort()
	return len(s.ids)
}

// keptRows bounds how many rows are told apart at a time, so that those with most
// requests are found among many more.
const keptRows = 16 * MaxRows

type rowID struct {
	hash          store.KeyHash
	network       netip.Prefix
	day           time.Time
	refused, then bool
}

// rowTable gathers rows. Where there are too many, it lets go of the half with
// fewest requests.
type rowTable map[rowID]*Row

func newRowTable() rowTable { return make(rowTable) }

func (t rowTable) add(row Row) {
	id := rowID{row.Hash, row.Network, row.Day, row.Refused, row.Then}
	if have, ok := t[id]; ok {
		have.Count += row.Count
		return
	}
	if len(t) >= keptRows {
		t.halve()
	}
	t[id] = &row
}

func (t rowTable) halve() {
	list := t.list()
	for _, row := range list[keptRows/2:] {
		delete(t, rowID{row.Hash, row.Network, row.Day, row.Refused, row.Then})
	}
}

func (t rowTable) list() []*Row {
	return slices.SortedFunc(maps.Values(t), func(a, b *Row) int { return compareRows(*a, *b) })
}

// most returns the rows with most requests.
func (t rowTable) most(n int) []Row {
	list := t.list()
	rows := make([]Row, 0, n)
	for _, row := range list[:min(n, len(list))] {
		rows = append(rows, *row)
	}
	return rows
}

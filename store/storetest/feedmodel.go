package storetest

import (
	"bytes"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

// settingNames are those of the fixtures.
var settingNames = []string{"mode", "archive-days", "empty"}

// feedModel is an authority as store.Feed describes it, in its slowest and most obvious
// form. Its log has a change for each revision, without bodies.
type feedModel struct {
	records map[string]store.Change // what there is, as changes that put it
	log     []store.Change
}

func newFeedModel() *feedModel { return &feedModel{records: map[string]store.Change{}} }

func (m *feedModel) position() uint64 { return uint64(len(m.log)) }

// put makes a change of the next revision, and returns it as who asked for it knows it.
func (m *feedModel) put(c store.Change) store.Change {
	c.Revision = m.position() + 1
	switch c.Kind {
	case store.ChangeBindingPut:
		c.Binding.Revision = c.Revision
		c.Binding = c.Binding.Stored()
	case store.ChangeDocumentPut:
		c.Document.Revision = c.Revision
	}
	m.records[c.Record()] = c
	m.log = append(m.log, removalOf(c))
	return c
}

// remove makes a record go.
func (m *feedModel) remove(c store.Change) store.Change {
	c = removalOf(c)
	c.Revision = m.position() + 1
	delete(m.records, c.Record())
	m.log = append(m.log, c)
	return c
}

// removalOf returns the change that removes what c is about.
func removalOf(c store.Change) store.Change {
	gone := store.Change{Revision: c.Revision, Hash: c.Hash}
	switch c.Kind {
	case store.ChangeBindingPut, store.ChangeBindingRemoved:
		gone.Kind = store.ChangeBindingRemoved
	case store.ChangeArchivedPut, store.ChangeArchivedRemoved:
		gone.Kind = store.ChangeArchivedRemoved
	case store.ChangeDocumentPut, store.ChangeDocumentRemoved:
		gone.Kind = store.ChangeDocumentRemoved
		gone.Document = store.Document{Kind: c.Document.Kind, ID: c.Document.ID}
	default:
		gone.Kind = store.ChangeSettingRemoved
		gone.Setting.Name = c.Setting.Name
	}
	return gone
}

// changes is store.Feed's Changes.
func (m *feedModel) changes(after uint64, limit int) (list []store.Change) {
	for _, c := range m.log[after:min(m.position(), after+uint64(limit))] { // #nosec G115 -- not negative
		if there, ok := m.records[c.Record()]; ok {
			there.Revision = c.Revision
			c = there
		}
		list = append(list, c)
	}
	return list
}

// snapshot yields everything, and then an error, if there is one.
func (m *feedModel) snapshot(err error) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for _, c := range m.records {
			if !yield(c, nil) {
				return
			}
		}
		if err != nil {
			yield(store.Change{}, err)
		}
	}
}

// random makes a change of one of few records.
func (m *feedModel) random(rnd *rand.Rand) store.Change {
	n, text := rnd.IntN(6), strconv.Itoa(rnd.IntN(1000))
	c := bindingChange(n, text)
	switch rnd.IntN(4) {
	case 0:
		b := c.Binding
		b.Revision = uint64(1 + rnd.IntN(9)) // #nosec G115 -- not negative
		c = store.Change{Kind: store.ChangeArchivedPut, Hash: c.Hash, Archived: store.ArchivedBinding{
			Binding: b.Stored(), ArchivedAt: store.StoredTime(archiveTime), Usage: usageOf(touch(n, rnd.IntN(500_000), 3, "10.0.0.1")),
		}}
	case 1:
		c = documentChange(strconv.Itoa(n), text)
	case 2:
		c = settingChange(settingNames[n%len(settingNames)], text[:rnd.IntN(len(text)+1)])
	}
	if _, ok := m.records[c.Record()]; ok && rnd.IntN(3) == 0 {
		return m.remove(c)
	}
	return m.put(c)
}

func bindingChange(n int, label string) store.Change {
	b := Binding(n)
	b.Label = label
	return store.Change{Kind: store.ChangeBindingPut, Hash: b.Hash, Binding: b}
}

func documentChange(id, body string) store.Change {
	return store.Change{Kind: store.ChangeDocumentPut, Document: store.Document{Kind: "account", ID: id, Body: []byte(body)}}
}

func settingChange(name, value string) store.Change {
	return store.Change{Kind: store.ChangeSettingPut, Setting: store.Setting{Name: name, Value: []byte(value)}}
}

// copied is what a copy is made of.
type copied struct {
	bindings        []store.Binding
	found           []store.Binding
	archive         []store.ArchivedBinding
	documents       []store.Document
	settings        map[string]string
	count, archived int
}

// contents is what a copy of the authority has.
func (m *feedModel) contents() copied {
	c := copied{settings: map[string]string{}}
	for _, r := range m.records {
		switch r.Kind {
		case store.ChangeBindingPut:
			c.bindings = append(c.bindings, r.Binding)
		case store.ChangeArchivedPut:
			c.archive = append(c.archive, r.Archived)
		case store.ChangeDocumentPut:
			c.documents = append(c.documents, r.Document)
		default:
			c.settings[r.Setting.Name] = string(r.Setting.Value)
		}
	}
	slices.SortFunc(c.bindings, func(a, b store.Binding) int { return compareHashes(a.Hash, b.Hash) })
	slices.SortFunc(c.archive, func(a, b store.ArchivedBinding) int { return compareHashes(a.Binding.Hash, b.Binding.Hash) })
	slices.SortFunc(c.documents, func(a, b store.Document) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	c.found, c.count, c.archived = c.bindings, len(c.bindings), len(c.archive)
	return c
}

// readCopy reads all that a copy is made of.
func readCopy(t testing.TB, s store.Store) copied {
	t.Helper()
	c := copied{
		bindings:  ok(s.ListBindings(t.Context(), store.KeyHash{}, 1_000))(t),
		archive:   archivePages(t, s, store.ArchiveQuery{}),
		documents: ok(s.ListDocuments(t.Context(), "account"))(t),
		settings:  map[string]string{},
		count:     ok(s.CountBindings(t.Context()))(t),
		archived:  ok(s.CountArchived(t.Context()))(t),
	}
	for _, row := range ok(s.FindBindings(t.Context(), store.BindingQuery{Limit: store.MaxPage}))(t).Rows {
		c.found = append(c.found, row.Binding)
	}
	slices.SortFunc(c.found, func(a, b store.Binding) int { return compareHashes(a.Hash, b.Hash) })
	for _, name := range settingNames {
		switch value, err := s.Setting(t.Context(), name); {
		case err == nil:
			c.settings[name] = string(value)
		case !errors.Is(err, store.ErrNotFound):
			t.Errorf("setting %s: %v", name, err)
		}
	}
	return c
}

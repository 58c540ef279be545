package memory

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/key-ip-sentinel/sentinel/store"
)

var _ store.Copy = (*Store)(nil)

// copying is what a store knows of the authority that it is a copy of.
type copying struct {
	position uint64
	of       string            // empty: it is no copy
	ahead    map[string]uint64 // revisions of changes ahead of the position, by store.Change.Record
}

// CopyPosition is part of store.Copy.
func (s *Store) CopyPosition(ctx context.Context) (position uint64, of string, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, "", err
	}
	defer leave()
	return s.copying.position, s.copying.of, nil
}

// CopyAhead is part of store.Copy.
func (s *Store) CopyAhead(ctx context.Context) (highest uint64, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	for _, revision := range s.copying.ahead {
		highest = max(highest, revision)
	}
	return highest, nil
}

// ForgetAhead is part of store.Copy.
func (s *Store) ForgetAhead(ctx context.Context) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.copying.ahead = nil
	return nil
}

// ownChangeLocked ends being a copy.
func (s *Store) ownChangeLocked() { s.copying = copying{} }

// validateCopied returns why a change cannot be stored.
func validateCopied(c store.Change) error {
	switch c.Kind {
	case store.ChangeBindingPut:
		if c.Binding.Hash != c.Hash {
			return fmt.Errorf("%w: binding of another key", store.ErrInvalid)
		}
		return c.Binding.Validate()
	case store.ChangeArchivedPut:
		if c.Archived.Binding.Hash != c.Hash {
			return fmt.Errorf("%w: entry of another key", store.ErrInvalid)
		}
		return c.Archived.Binding.Validate()
	case store.ChangeDocumentPut, store.ChangeDocumentRemoved:
		if err := store.ValidateName(c.Document.Kind); err != nil {
			return err
		}
		return store.ValidateName(c.Document.ID)
	case store.ChangeSettingPut, store.ChangeSettingRemoved:
		return store.ValidateName(c.Setting.Name)
	case store.ChangeBindingRemoved, store.ChangeArchivedRemoved:
		return nil
	}
	return fmt.Errorf("%w: kind %q", store.ErrInvalid, c.Kind)
}

// ApplyChanges is part of store.Copy.
func (s *Store) ApplyChanges(ctx context.Context, changes []store.Change, position uint64) ([]store.Change, error) {
	for _, c := range changes {
		if err := validateCopied(c); err != nil {
			return nil, fmt.Errorf("change %d: %w", c.Revision, err)
		}
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var applied []store.Change
	for _, c := range changes {
		if c.Revision <= s.copying.position || isForNode(c) {
			continue
		}
		if s.applyLocked(c) {
			applied = append(applied, c)
		}
		if c.Revision > position {
			s.noteAheadLocked(c)
		}
	}
	if position > s.copying.position {
		s.copying.position = position
		maps.DeleteFunc(s.copying.ahead, func(_ string, r uint64) bool { return r <= position })
	}
	return applied, nil
}

func isForNode(c store.Change) bool { return store.IsNodeSetting(c.Setting.Name) }

func (s *Store) noteAheadLocked(c store.Change) {
	if s.copying.ahead == nil {
		s.copying.ahead = map[string]uint64{}
	}
	s.copying.ahead[c.Record()] = max(s.copying.ahead[c.Record()], c.Revision)
}

// applyLocked makes a record what a change says, unless what is known of it is newer,
// and reports whether that made a difference.
func (s *Store) applyLocked(c store.Change) bool {
	if s.copying.ahead[c.Record()] > c.Revision {
		return false
	}
	was := s.recordLocked(c)
	if was.RecordRevision() > c.RecordRevision() {
		return false
	}
	s.setLocked(c)
	is := s.recordLocked(c)
	was.Revision, is.Revision = 0, 0
	return !reflect.DeepEqual(was, is)
}

// recordLocked returns what there is of the record that a change is about, as a change
// of revision 0.
func (s *Store) recordLocked(c store.Change) store.Change {
	there := store.Change{Hash: c.Hash}
	ok := false
	switch c.Kind {
	case store.ChangeBindingPut, store.ChangeBindingRemoved:
		if there.Binding, ok = s.bindings[c.Hash]; ok {
			there.Kind = store.ChangeBindingPut
		}
	case store.ChangeArchivedPut, store.ChangeArchivedRemoved:
		if there.Archived, ok = s.archive[c.Hash]; ok {
			there.Kind = store.ChangeArchivedPut
		}
	case store.ChangeDocumentPut, store.ChangeDocumentRemoved:
		if there.Document, ok = s.documents[documentKey{c.Document.Kind, c.Document.ID}]; ok {
			there.Kind = store.ChangeDocumentPut
		}
	default:
		if there.Setting.Value, ok = s.settings[c.Setting.Name]; ok {
			there.Kind, there.Setting.Name = store.ChangeSettingPut, c.Setting.Name
		}
	}
	return there
}

func (s *Store) setLocked(c store.Change) {
	switch c.Kind {
	case store.ChangeBindingPut:
		s.bindings[c.Hash] = c.Binding.Stored()
		s.lastRevision = max(s.lastRevision, c.Binding.Revision)
	case store.ChangeBindingRemoved:
		delete(s.bindings, c.Hash)
		delete(s.usage, c.Hash)
	case store.ChangeArchivedPut:
		a := copyOf(c.Archived)
		a.ArchivedAt = store.StoredTime(a.ArchivedAt)
		s.archive[c.Hash] = a
	case store.ChangeArchivedRemoved:
		delete(s.archive, c.Hash)
	case store.ChangeDocumentPut:
		d := c.Document
		d.Body = bytes.Clone(d.Body)
		s.documents[documentKey{d.Kind, d.ID}] = d
		s.lastDocument = max(s.lastDocument, d.Revision)
	case store.ChangeDocumentRemoved:
		delete(s.documents, documentKey{c.Document.Kind, c.Document.ID})
	case store.ChangeSettingPut:
		s.settings[c.Setting.Name] = append([]byte{}, c.Setting.Value...)
	case store.ChangeSettingRemoved:
		delete(s.settings, c.Setting.Name)
	}
}

// ReplaceAll is part of store.Copy.
func (s *Store) ReplaceAll(ctx context.Context, position uint64, of string, all iter.Seq2[store.Change, error]) error {
	if of == "" {
		return fmt.Errorf("%w: no identity of an authority", store.ErrInvalid)
	}
	s.replacing.Lock()
	defer s.replacing.Unlock()
	next := New()
	for c, err := range all {
		if err == nil {
			err = validateCopied(c)
		}
		if err == nil && c.Removes() {
			err = fmt.Errorf("%w: change %d of a new copy removes", store.ErrInvalid, c.Revision)
		}
		if err != nil {
			return err
		}
		if !isForNode(c) {
			next.setLocked(c)
		}
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	next.copying = copying{position: position, of: of}
	s.carryLocked(next)
	s.bindings, s.archive, s.documents, s.settings, s.copying = next.bindings, next.archive, next.documents, next.settings, next.copying
	s.lastRevision, s.lastDocument = max(s.lastRevision, position), max(s.lastDocument, position)
	maps.DeleteFunc(s.usage, func(hash store.KeyHash, _ store.Usage) bool {
		_, isBound := s.bindings[hash]
		return !isBound
	})
	return nil
}

// carryLocked takes to a new copy what is of the node, and what was changed ahead of
// the new position.
func (s *Store) carryLocked(next *Store) {
	for name, value := range s.settings {
		if store.IsNodeSetting(name) {
			next.settings[name] = value
		}
	}
	if s.copying.of != next.copying.of || next.copying.position < s.copying.position {
		return
	}
	for record, revision := range s.copying.ahead {
		if revision <= next.copying.position {
			continue
		}
		s.carryRecordLocked(next, record, revision)
	}
}

// carryRecordLocked takes one record of the old copy to a new one, unless that has it
// newer.
func (s *Store) carryRecordLocked(next *Store, record string, revision uint64) {
	there := s.recordLocked(parseRecord(record, true))
	if there.Kind == "" {
		there = parseRecord(record, false)
	}
	there.Revision = revision
	if next.recordLocked(there).RecordRevision() <= revision {
		next.setLocked(there)
	}
	next.noteAheadLocked(there)
}

// parseRecord returns a change of the record that store.Change.Record names, which puts
// or removes it.
func parseRecord(record string, puts bool) store.Change {
	kinds := map[byte][2]store.ChangeKind{
		'b': {store.ChangeBindingRemoved, store.ChangeBindingPut}, 'a': {store.ChangeArchivedRemoved, store.ChangeArchivedPut},
		'd': {store.ChangeDocumentRemoved, store.ChangeDocumentPut}, 's': {store.ChangeSettingRemoved, store.ChangeSettingPut},
	}[record[0]]
	c := store.Change{Kind: kinds[0]}
	if puts {
		c.Kind = kinds[1]
	}
	switch rest := record[1:]; record[0] {
	case 'b', 'a':
		c.Hash = store.KeyHash([]byte(rest))
	case 'd':
		length, rest, _ := strings.Cut(rest, ":")
		n, _ := strconv.Atoi(length) // as Record wrote it
		c.Document.Kind, c.Document.ID = rest[:n], rest[n:]
	default:
		c.Setting.Name = rest
	}
	return c
}

package store

import (
	"context"
	"iter"
	"strconv"
	"strings"
)

// Copy is what a local store offers to be a full copy of an authority: of its
// bindings, archive, documents and settings, with the revisions of the authority.
//
// Who keeps a copy feeds it from a Feed, and may tell it beforehand of changes that the
// node itself has asked the authority for. Readers of the store see each call of
// ApplyChanges or ReplaceAll as a whole or not at all, also after a kill -9.
//
// A store that is changed by its own methods, other than in what no feed tells (usage,
// intercepts, counters, audit, settings of the node), is a copy no longer: from then on
// CopyPosition tells of no authority.
//
// Errors are those of Store.
type Copy interface {
	// CopyPosition returns the revision up to which the copy has all changes, and the
	// identity of the authority that it is a copy of: 0 and an empty one before the
	// first ReplaceAll.
	CopyPosition(ctx context.Context) (position uint64, of string, err error)

	// ApplyChanges stores changes, which may be any number, in their order and in one
	// transaction, and moves the position to the one given, if that is higher: 0 leaves
	// it. It returns those by which something has become different.
	//
	// It is idempotent, and takes any mixture of what a Feed told at any moments, and of
	// single changes that are ahead of it:
	//   - a change up to the position is in the copy already, as what it did or what came
	//     after it: nothing happens;
	//   - a binding or document that is stored with a higher revision stays;
	//   - of a record that an earlier call changed ahead of the position, older changes
	//     do nothing. So what a node has removed does not come back for a moment, while
	//     the feed is still about to tell that it was made.
	//
	// Returns ErrInvalid for a record that the store could not hold.
	ApplyChanges(ctx context.Context, changes []Change, position uint64) (applied []Change, err error)

	// CopyAhead returns the highest revision that was applied ahead of the position; 0 if
	// there is none. An authority that has less has lost it.
	CopyAhead(ctx context.Context) (revision uint64, err error)

	// ForgetAhead forgets what was applied ahead of the position, before a ReplaceAll
	// that must not carry it over because the authority has lost it. The records stay.
	ForgetAhead(ctx context.Context) error

	// ReplaceAll makes the store a copy of an authority as of a position, with nothing
	// but the records given, each once, as a Snapshot tells them. They are gathered
	// beside those in use, in bounded memory, and take their place in one transaction at
	// the end: until then, reads see what there was, and ApplyChanges changes it. What
	// it changed ahead of the new position is carried over, unless the position is lower
	// than it was, or of another authority: then that never happened there.
	//
	// Settings of the node stay, and so does the usage of the keys that are bound then.
	//
	// If all ends with an error, ReplaceAll returns it, and everything is as before. At
	// most one call runs at a time; another one waits. Returns ErrInvalid for an empty
	// identity, a change that removes, or a record that the store could not hold.
	ReplaceAll(ctx context.Context, position uint64, of string, all iter.Seq2[Change, error]) error
}

// Authority is a store that nodes keep copies of.
type Authority interface {
	Store
	Feed
	Delivery
	Roster
	Mailbox
	Logins
	// Identity tells the authority from any other one, and is never empty. Revisions of
	// different authorities have nothing to do with each other.
	Identity(ctx context.Context) (string, error)
}

// NodeSettingPrefix begins the names of settings that belong to one node: they are no
// part of a copy, come in no feed that a copy takes, and survive ReplaceAll.
const NodeSettingPrefix = "node."

// IsNodeSetting reports whether a setting of that name belongs to one node.
func IsNodeSetting(name string) bool { return strings.HasPrefix(name, NodeSettingPrefix) }

// Removes reports whether the change is that the record is gone.
func (c Change) Removes() bool {
	switch c.Kind {
	case ChangeBindingRemoved, ChangeArchivedRemoved, ChangeDocumentRemoved, ChangeSettingRemoved:
		return true
	}
	return false
}

// Record returns what the change is about, as a text that no other record has.
func (c Change) Record() string {
	switch c.Kind {
	case ChangeBindingPut, ChangeBindingRemoved:
		return "b" + string(c.Hash[:])
	case ChangeArchivedPut, ChangeArchivedRemoved:
		return "a" + string(c.Hash[:])
	case ChangeDocumentPut, ChangeDocumentRemoved:
		return "d" + strconv.Itoa(len(c.Document.Kind)) + ":" + c.Document.Kind + c.Document.ID
	}
	return "s" + c.Setting.Name
}

// RecordRevision returns the revision of the record that the change comes with, which
// may be higher than its own: the Feed tells what is, not what was.
func (c Change) RecordRevision() uint64 {
	switch c.Kind {
	case ChangeBindingPut:
		return max(c.Revision, c.Binding.Revision)
	case ChangeDocumentPut:
		return max(c.Revision, c.Document.Revision)
	}
	return c.Revision
}

package bolt

import (
	"bytes"
	"context"
	"errors"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Rekey is part of store.Rekeyer.
func (s *Store) Rekey(ctx context.Context, r store.Rekeying) (store.Rekeyed, error) {
	if err := r.Validate(); err != nil {
		return store.Rekeyed{}, err
	}
	documents := store.CloneDocuments(r.Put)
	var out store.Rekeyed
	var refusal error
	err := s.write(ctx, func(w *writeTx) (err error) {
		if refusal = w.checkRekeying(r, documents); refusal != nil {
			return nil
		}
		out, err = w.rekey(r)
		if err != nil {
			if errors.Is(err, store.ErrDamaged) {
				refusal, err = unavailable(err), nil // read before anything was changed
			}
			return err
		}
		return w.changeDocuments(documents, nil)
	})
	if err != nil {
		return store.Rekeyed{}, err
	}
	if refusal != nil {
		return store.Rekeyed{}, refusal
	}
	out.Documents = documents
	return out, nil
}

// checkRekeying returns why a key may not be moved.
func (w *writeTx) checkRekeying(r store.Rekeying, documents []store.Document) error {
	bindings := w.bucket(bucketBindings)
	isBound, isTaken := bindings.Get(r.From[:]) != nil, bindings.Get(r.To[:]) != nil
	switch {
	case !isBound && w.bucket(bucketArchive).Get(r.From[:]) == nil:
		return store.ErrNotFound
	case isBound != (r.Revision != 0) || isBound && isTaken:
		return store.ErrConflict
	case isBound:
		if err := w.checkRevision(r.From, r.Revision); err != nil {
			return err
		}
	}
	return store.CheckDocuments(documents, nil, w.documentRevision)
}

// rekey moves what there is. All of it is read before any of it is written.
func (w *writeTx) rekey(r store.Rekeying) (out store.Rekeyed, err error) {
	var value []byte
	if r.Revision != 0 {
		if out.Binding, err = decodeBinding(r.From[:], w.bucket(bucketBindings).Get(r.From[:])); err != nil {
			return out, err
		}
		out.Binding.Hash, out.Binding.HashedWith = r.To, r.HashedWith
		if value, err = encodeBinding(out.Binding); err != nil {
			return out, err
		}
	}
	entry, err := w.rekeyedEntry(r)
	if err != nil {
		return out, err
	}
	if value != nil {
		if out.Binding.Revision, err = w.rekeyBinding(r, value); err != nil {
			return out, err
		}
	}
	if entry != nil {
		out.Archived = true
		err = w.rekeyEntry(r, *entry)
	}
	return out, err
}

func (w *writeTx) rekeyBinding(r store.Rekeying, value []byte) (revision uint64, err error) {
	if err := w.settleKey(r.From); err != nil {
		return 0, err
	}
	usage := bytes.Clone(w.bucket(bucketUsage).Get(r.From[:])) // out of a page that changes
	history := bytes.Clone(w.bucket(bucketHistory).Get(r.From[:]))
	if revision, err = w.putBinding(r.To, value); err != nil {
		return 0, err
	}
	w.added++
	if usage != nil {
		err = w.putUsage(r.To, usage)
	}
	if history != nil {
		err = errors.Join(err, w.put(bucketHistory, r.To[:], history))
	}
	if err != nil {
		return 0, err
	}
	if _, err := w.nextRevision(); err != nil {
		return 0, err
	}
	return revision, w.unbind(r.From)
}

// rekeyedEntry returns the entry of the archive as it is to be stored; nil if there is
// none.
func (w *writeTx) rekeyedEntry(r store.Rekeying) (*archiveEntry, error) {
	value := bytes.Clone(w.bucket(bucketArchive).Get(r.From[:]))
	if value == nil {
		return nil, nil
	}
	entry, err := cutEntry(value)
	if err != nil {
		return nil, err
	}
	b, err := decodeBinding(r.From[:], entry.binding)
	if err != nil {
		return nil, err
	}
	b.HashedWith = r.HashedWith
	if entry.binding, err = encodeBinding(b); err != nil {
		return nil, err
	}
	setRevision(entry.binding, b.Revision)
	return &entry, nil
}

func (w *writeTx) rekeyEntry(r store.Rekeying, entry archiveEntry) error {
	w.isOwn = true
	there := w.bucket(bucketArchive).Get(r.To[:])
	isNewer := true
	if there != nil {
		w.archived--
		if at, err := archivedAt(there); err == nil && at.UnixMilli() >= entry.at {
			isNewer = false
		}
	}
	if isNewer {
		if err := w.put(bucketArchive, r.To[:], entry.encode()); err != nil {
			return err
		}
	}
	return w.remove(bucketArchive, r.From[:])
}

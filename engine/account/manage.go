package account

import (
	"context"
	"errors"

	"github.com/key-ip-sentinel/sentinel/store"
)

// List returns all accounts in the order of their names.
func (a *Accounts) List(ctx context.Context) ([]Account, error) {
	all, err := a.accounts.read(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Account, 0, len(all.byID))
	for _, id := range all.ids() {
		list = append(list, all.byID[id].value.account())
	}
	return list, nil
}

// Get returns one account. Returns store.ErrNotFound.
func (a *Accounts) Get(ctx context.Context, name string) (Account, error) {
	all, err := a.accounts.read(ctx)
	if err != nil {
		return Account{}, err
	}
	name, _ = canonicalName(name)
	entry, ok := all.byID[name]
	if !ok {
		return Account{}, store.ErrNotFound
	}
	return entry.value.account(), nil
}

// Empty reports whether there is no account at all.
func (a *Accounts) Empty(ctx context.Context) (bool, error) {
	all, err := a.accounts.read(ctx)
	if err != nil {
		return false, err
	}
	return len(all.byID) == 0, nil
}

// Create makes an account. Returns store.ErrConflict if there is one of that
// name, or a *FieldError for the name, the role or the password.
func (a *Accounts) Create(ctx context.Context, name string, role Role, password string) (Account, error) {
	name, err := newName(name)
	if err != nil {
		return Account{}, err
	}
	if _, err := ParseRole(string(role)); err != nil {
		return Account{}, err
	}
	if err := checkNewPassword(name, password); err != nil {
		return Account{}, err
	}
	return a.create(ctx, name, role, password, func(*shelved[accountRecord]) error { return nil })
}

// create makes an account, if check agrees to it.
func (a *Accounts) create(ctx context.Context, name string, role Role, password string,
	check func(*shelved[accountRecord]) error,
) (Account, error) {
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return Account{}, err
	}
	now := a.storedNow()
	rec := accountRecord{
		Name: name, Role: role, Password: hash, CreatedAt: now, UpdatedAt: now,
		Generation: newGeneration(), Revision: newGeneration(),
	}
	if err := a.accounts.create(ctx, name, rec, check); err != nil {
		return Account{}, err
	}
	return rec.account(), nil
}

// edit changes an account, if its Revision is the one given or that is 0.
func (a *Accounts) edit(ctx context.Context, name string, revision uint64,
	edit func(all *shelved[accountRecord], rec *accountRecord) error,
) (Account, error) {
	name, _ = canonicalName(name)
	rec, err := a.accounts.change(ctx, name, func(all *shelved[accountRecord], rec *accountRecord) error {
		if revision != 0 && revision != rec.Revision {
			return store.ErrConflict
		}
		return edit(all, rec)
	})
	if err != nil {
		return Account{}, err
	}
	return rec.account(), nil
}

// SetPassword gives an account another password and ends its sessions. Returns
// store.ErrNotFound, or a *FieldError for the password.
func (a *Accounts) SetPassword(ctx context.Context, name, password string) (Account, error) {
	if err := checkNewPassword(name, password); err != nil {
		return Account{}, err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return Account{}, err
	}
	return a.edit(ctx, name, 0, func(_ *shelved[accountRecord], rec *accountRecord) error {
		rec.Password = hash
		rec.endSessions(a.storedNow())
		return nil
	})
}

// SetRole gives an account another role and ends its sessions; the role that it
// has already changes nothing. A revision of 0 is whatever the account is at.
// Returns store.ErrNotFound, store.ErrConflict, ErrLastAdmin, or a *FieldError
// for the role.
func (a *Accounts) SetRole(ctx context.Context, name string, role Role, revision uint64) (Account, error) {
	if _, err := ParseRole(string(role)); err != nil {
		return Account{}, err
	}
	return a.edit(ctx, name, revision, func(all *shelved[accountRecord], rec *accountRecord) error {
		if rec.Role == role {
			return errUnchanged
		}
		if isLastAdmin(all, *rec) {
			return ErrLastAdmin
		}
		rec.Role = role
		rec.endSessions(a.storedNow())
		return nil
	})
}

// SetDisabled disables an account, which ends its sessions, or enables it; what
// it is already changes nothing. A revision of 0 is whatever the account is at.
// Returns store.ErrNotFound, store.ErrConflict, or ErrLastAdmin. API tokens that
// the person made stay.
func (a *Accounts) SetDisabled(ctx context.Context, name string, disabled bool, revision uint64) (Account, error) {
	return a.edit(ctx, name, revision, func(all *shelved[accountRecord], rec *accountRecord) error {
		if rec.Disabled == disabled {
			return errUnchanged
		}
		if isLastAdmin(all, *rec) {
			return ErrLastAdmin
		}
		rec.Disabled = disabled
		rec.endSessions(a.storedNow())
		return nil
	})
}

// Delete removes an account and ends its sessions: also one that is made again
// under the same name does not revive them. A revision of 0 is whatever the
// account is at. Returns store.ErrNotFound, store.ErrConflict, or ErrLastAdmin.
func (a *Accounts) Delete(ctx context.Context, name string, revision uint64) error {
	name, _ = canonicalName(name)
	return a.accounts.remove(ctx, name, func(all *shelved[accountRecord], rec accountRecord) error {
		switch {
		case revision != 0 && revision != rec.Revision:
			return store.ErrConflict
		case isLastAdmin(all, rec):
			return ErrLastAdmin
		}
		return nil
	})
}

// isLastAdmin reports whether rec is the only enabled admin. This process makes
// one change at a time, so that two admins cannot remove each other. Two nodes
// of a cluster can, in the same instant: then the command line on the machine,
// or ADMIN_PASSWORD, makes an admin again.
func isLastAdmin(all *shelved[accountRecord], rec accountRecord) bool {
	if rec.Role != Admin || rec.Disabled {
		return false
	}
	for id, other := range all.byID {
		if id != rec.Name && other.value.Role == Admin && !other.value.Disabled {
			return false
		}
	}
	return true
}

// EnsurePassword makes sure that there is an enabled admin of that name with
// that password, and reports whether something had to change, in which case the
// sessions of the account have ended. The password is taken as it is: it comes
// from the configuration, which has rules of its own. Returns a *FieldError for
// a name that cannot be one, or an empty password.
func (a *Accounts) EnsurePassword(ctx context.Context, name, password string) (changed bool, err error) {
	name, err = newName(name)
	if err != nil {
		return false, err
	}
	if password == "" {
		return false, &FieldError{Field: "password", Fault: "is empty"}
	}
	for range maxAttempts {
		changed, err = a.ensurePassword(ctx, name, password)
		// Another node made the account, removed it, or gave it another password.
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return changed, err
		}
	}
	return false, err
}

func (a *Accounts) ensurePassword(ctx context.Context, name, password string) (changed bool, err error) {
	all, err := a.accounts.read(ctx)
	if err != nil {
		return false, err
	}
	seen, ok := all.byID[name]
	if !ok {
		_, err := a.create(ctx, name, Admin, password, func(*shelved[accountRecord]) error { return nil })
		return err == nil, err
	}
	hash := seen.value.Password
	right, _, err := a.hasher.verify(ctx, hash, password)
	if err != nil {
		return false, err
	}
	if !right {
		if hash, err = a.hasher.hash(ctx, password); err != nil {
			return false, err
		}
	}
	_, err = a.edit(ctx, name, 0, func(_ *shelved[accountRecord], rec *accountRecord) error {
		if rec.Password != seen.value.Password {
			return store.ErrConflict
		}
		if changed = !right || rec.Role != Admin || rec.Disabled; !changed {
			return errUnchanged
		}
		rec.Password, rec.Role, rec.Disabled = hash, Admin, false
		rec.endSessions(a.storedNow())
		return nil
	})
	return changed && err == nil, err
}

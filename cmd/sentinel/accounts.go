package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/seal"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

// accountBook is what the admin commands do to accounts: through a running
// server, or, where none runs, in its data file.
type accountBook interface {
	list(ctx context.Context) ([]account.Account, error)
	create(ctx context.Context, name string, role account.Role, password string) error
	setPassword(ctx context.Context, name, password string) error
	setDisabled(ctx context.Context, name string, disabled bool) error
	remove(ctx context.Context, name string) error
	disableSecondFactor(ctx context.Context, name string) error
	close() error
}

// openAccountBook opens the accounts of the server that the flags name, or those
// of its data file if it does not run.
func openAccountBook(cmd *cobra.Command) (accountBook, error) {
	c, err := clientOf(cmd)
	if err != nil {
		return nil, err
	}
	if !c.IsLocal() {
		return remoteAccounts{c}, nil
	}
	dir, err := dataDirOf(cmd, flagText(cmd, dataDirFlag))
	if err != nil {
		return nil, err
	}
	if serverRuns(cmd.Context(), dir) {
		return remoteAccounts{c}, nil
	}
	return openStoredAccounts(cmd.Context(), dir)
}

// serverRuns reports whether a server takes calls on the socket of a data
// directory.
func serverRuns(ctx context.Context, dir string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, client.SocketName))
	if err != nil {
		return errors.Is(err, fs.ErrPermission) // it may: the call will say why it cannot
	}
	_ = conn.Close()
	return true
}

// remoteAccounts are those of a running server.
type remoteAccounts struct{ *client.Client }

func (r remoteAccounts) list(ctx context.Context) ([]account.Account, error) {
	var answer struct {
		Items []account.Account `json:"items"`
	}
	err := r.Do(ctx, http.MethodGet, "/accounts", nil, &answer)
	return answer.Items, err
}

func (r remoteAccounts) create(ctx context.Context, name string, role account.Role, password string) error {
	return r.Do(ctx, http.MethodPost, "/accounts", map[string]any{"name": name, "role": role, "password": password}, nil)
}

func (r remoteAccounts) setPassword(ctx context.Context, name, password string) error {
	return r.change(ctx, name, map[string]any{"password": password})
}

func (r remoteAccounts) setDisabled(ctx context.Context, name string, disabled bool) error {
	return r.change(ctx, name, map[string]any{"disabled": disabled})
}

func (r remoteAccounts) change(ctx context.Context, name string, fields map[string]any) error {
	return missingAccount(name, r.Do(ctx, http.MethodPatch, accountPath(name), fields, nil))
}

func (r remoteAccounts) remove(ctx context.Context, name string) error {
	return missingAccount(name, r.Do(ctx, http.MethodDelete, accountPath(name), nil, nil))
}

func (r remoteAccounts) disableSecondFactor(ctx context.Context, name string) error {
	return missingAccount(name, r.Do(ctx, http.MethodDelete, accountPath(name)+"/totp", nil, nil))
}

func (r remoteAccounts) close() error {
	r.Close()
	return nil
}

func accountPath(name string) string { return "/accounts/" + url.PathEscape(name) }

// missingAccount names the account that is not there.
func missingAccount(name string, err error) error {
	problem := (*client.Problem)(nil)
	if errors.Is(err, store.ErrNotFound) || errors.As(err, &problem) && problem.Status == http.StatusNotFound && problem.Code != "" {
		return notFoundf("there is no account %q; sentinel admin list shows those that are there", name)
	}
	return err
}

// storedAccounts are those of a data file that no server has open. What is done
// to them goes onto the audit trail as the server would put it there.
type storedAccounts struct {
	accounts *account.Accounts
	store    *bolt.Store
}

const localActor = "local"

func openStoredAccounts(ctx context.Context, dir string) (*storedAccounts, error) {
	path := filepath.Join(dir, dataFileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no sentinel runs on data directory %s, and it has no data file yet: start sentinel, or name its directory with --%s", dir, dataDirFlag)
	}
	logger := slog.New(slog.DiscardHandler)
	s, err := openStore(dir, logger)
	if err != nil {
		return nil, err
	}
	if err := refuseCopy(ctx, s, dir); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	// Nothing that is done here opens or makes a second factor, so any key will
	// do: that of the server may be in an environment that is not here.
	key := make([]byte, seal.KeyBytes)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	accounts, err := account.New(ctx, account.Options{Documents: s, Key: key, Logger: logger})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &storedAccounts{accounts, s}, nil
}

func (s *storedAccounts) list(ctx context.Context) ([]account.Account, error) {
	return s.accounts.List(ctx)
}

func (s *storedAccounts) create(ctx context.Context, name string, role account.Role, password string) error {
	made, err := s.accounts.Create(ctx, name, role, password)
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("there is an account %q already", name)
	}
	if err != nil {
		return tellField(err)
	}
	return s.audit(ctx, "account.create", made.Name, nil, changedAccount(made))
}

func (s *storedAccounts) setPassword(ctx context.Context, name, password string) error {
	who, err := s.accounts.SetPassword(ctx, name, password)
	if err != nil {
		return missingAccount(name, tellField(err))
	}
	return auditPassword(ctx, s.store, localActor, who.Name)
}

func (s *storedAccounts) setDisabled(ctx context.Context, name string, disabled bool) error {
	before, err := s.accounts.Get(ctx, name)
	if err != nil {
		return missingAccount(name, err)
	}
	after, err := s.accounts.SetDisabled(ctx, name, disabled, before.Revision)
	if err != nil || before.Disabled == after.Disabled {
		return err
	}
	action := "account.enable"
	if disabled {
		action = "account.disable"
	}
	return s.audit(ctx, action, after.Name, changedAccount(before), changedAccount(after))
}

func (s *storedAccounts) remove(ctx context.Context, name string) error {
	before, err := s.accounts.Get(ctx, name)
	if err != nil {
		return missingAccount(name, err)
	}
	if err := s.accounts.Delete(ctx, name, before.Revision); err != nil {
		return err
	}
	return s.audit(ctx, "account.delete", before.Name, changedAccount(before), nil)
}

func (s *storedAccounts) disableSecondFactor(ctx context.Context, name string) error {
	before, err := s.accounts.Get(ctx, name)
	if err != nil {
		return missingAccount(name, err)
	}
	if err := s.accounts.DisableTOTP(ctx, name); err != nil {
		return err
	}
	return s.audit(ctx, "account.second_factor_off", before.Name, nil, nil)
}

func (s *storedAccounts) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return errors.Join(s.accounts.Close(ctx), s.store.Close())
}

// changedAccount is what the audit trail says of an account, as the admin API
// writes it.
func changedAccount(a account.Account) any {
	return struct {
		Role         account.Role `json:"role"`
		Disabled     bool         `json:"disabled"`
		SecondFactor bool         `json:"secondFactor"`
	}{a.Role, a.Disabled, a.SecondFactor}
}

func (s *storedAccounts) audit(ctx context.Context, action, name string, before, after any) error {
	return appendAudit(ctx, s.store, localActor, action, name, before, after)
}

// auditPassword puts a new password of an account onto the audit trail.
func auditPassword(ctx context.Context, log store.AuditLog, actor, name string) error {
	return appendAudit(ctx, log, actor, "account.password", name, nil, nil)
}

func appendAudit(ctx context.Context, log store.AuditLog, actor, action, name string, before, after any) error {
	e := store.AuditEntry{At: time.Now(), Actor: actor, Action: action, Target: "account:" + name}
	e, err := e.Changed(before, after)
	if err != nil {
		return err
	}
	if _, err := log.AppendAudit(ctx, e); err != nil {
		return fmt.Errorf("it is done, but the audit trail does not take its entry: %w", err)
	}
	return nil
}

// tellField makes a fault of a value one of the arguments.
func tellField(err error) error {
	if field := (*account.FieldError)(nil); errors.As(err, &field) {
		return &usageError{err}
	}
	return err
}

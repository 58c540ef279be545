package account_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

const (
	password = "password for tests only"
	wrong    = "wrong password for tests"
)

var (
	home      = netip.MustParseAddr("192.0.2.7")
	elsewhere = netip.MustParseAddr("198.51.100.9")
)

// documents is a store that counts its writes, and refuses them if told to.
type documents struct {
	*memory.Store
	puts   atomic.Int64
	refuse atomic.Bool
	// lose makes a write happen, and its success get lost.
	lose atomic.Bool
	// meanwhile is called once, before the next write, as another node would
	// come between reading and writing.
	meanwhile atomic.Pointer[func()]
}

func (d *documents) meanwhileDo(f func()) { d.meanwhile.Store(&f) }

func (d *documents) interfere() {
	if f := d.meanwhile.Swap(nil); f != nil {
		(*f)()
	}
}

func (d *documents) DeleteDocument(ctx context.Context, kind, id string, revision uint64) error {
	d.interfere()
	return d.Store.DeleteDocument(ctx, kind, id, revision)
}

func (d *documents) PutDocument(ctx context.Context, doc store.Document) (store.Document, error) {
	if d.refuse.Load() {
		return store.Document{}, store.ErrUnavailable
	}
	d.interfere()
	d.puts.Add(1)
	stored, err := d.Store.PutDocument(ctx, doc)
	if err == nil && d.lose.Load() {
		return store.Document{}, store.ErrUnavailable
	}
	return stored, err
}

// lockedLog collects what is logged.
type lockedLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// fixture is accounts on a store, with time that passes only in waiting.
type fixture struct {
	*account.Accounts
	documents *documents
	log       *lockedLog
	lockouts  atomic.Pointer[[]string]
}

func (f *fixture) options() account.Options {
	return account.Cheap(account.Options{
		Documents: f.documents, Key: bytes.Repeat([]byte{7}, 32), Logger: slog.New(slog.NewTextHandler(f.log, nil)),
		OnLockout: func(name string, from netip.Addr) {
			list := append([]string{}, *f.lockouts.Load()...)
			list = append(list, name+" "+from.String())
			f.lockouts.Store(&list)
		},
	}, 1)
}

// node returns further accounts on the store of f, as another node has them.
func (f *fixture) node(t *testing.T, change func(*account.Options)) *account.Accounts {
	t.Helper()
	opts := f.options()
	change(&opts)
	a, err := account.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a
}

func same(*account.Options) {}

// run gives test accounts with one admin, "root", in a bubble of its own time.
func run(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	runEmpty(t, func(t *testing.T, f *fixture) {
		f.create(t, "root", account.Admin)
		test(t, f)
	})
}

func runEmpty(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{documents: &documents{Store: memory.New()}, log: &lockedLog{}}
		f.lockouts.Store(&[]string{})
		f.Accounts = f.node(t, same)
		test(t, f)
	})
}

func (f *fixture) create(t *testing.T, name string, role account.Role) account.Account {
	t.Helper()
	a, err := f.Create(t.Context(), name, role, password)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (f *fixture) login(t *testing.T, name, pass, code string, from netip.Addr) error {
	t.Helper()
	_, err := f.Login(t.Context(), account.Credentials{Name: name, Password: pass, Code: code, From: from})
	return err
}

func (f *fixture) fail(t *testing.T, times int, name string, from netip.Addr) {
	t.Helper()
	for range times {
		wantErr(t, f.login(t, name, wrong, "", from), account.ErrWrongLogin)
	}
}

// body returns the document of a record as text.
func (f *fixture) body(t *testing.T, kind, id string) string {
	t.Helper()
	d, err := f.documents.Document(t.Context(), kind, id)
	if err != nil {
		t.Fatal(err)
	}
	return string(d.Body)
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func wantField(t *testing.T, got error, field string) {
	t.Helper()
	var fault *account.FieldError
	if !errors.As(got, &fault) || fault.Field != field || fault.Fault == "" || !strings.HasPrefix(fault.Error(), field+": ") {
		t.Fatalf("got error %v, want one of the field %s", got, field)
	}
}

func wantLocked(t *testing.T, got error, rest time.Duration) {
	t.Helper()
	var locked *account.LockedError
	if !errors.As(got, &locked) || locked.RetryAfter != rest {
		t.Fatalf("got error %v, want locked for %v", got, rest)
	}
}

// must returns a value, or ends the test.
func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

package account_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

func TestSetup(t *testing.T) {
	runEmpty(t, func(t *testing.T, f *fixture) {
		token, expires := f.BeginSetup()
		if len(token) < 26 || !expires.Equal(time.Now().Add(30*time.Minute)) {
			t.Errorf("got %d characters until %v", len(token), expires)
		}
		_, err := f.Setup(t.Context(), token, "no name", password)
		wantField(t, err, "name")
		_, err = f.Setup(t.Context(), token, "ada", "short")
		wantField(t, err, "password")
		got := must[account.Account](t)(f.Setup(t.Context(), token, "Ada", password))
		if got.Name != "ada" || got.Role != account.Admin || got.Disabled {
			t.Errorf("got %+v", got)
		}
		wantErr(t, f.login(t, "ada", password, "", home), nil)
		_, err = f.Setup(t.Context(), token, "eve", password)
		wantErr(t, err, account.ErrWrongSetup)
	})
}

func TestSetupRefuses(t *testing.T) {
	tests := map[string]func(t *testing.T, f *fixture, token string){
		"expired":   func(*testing.T, *fixture, string) { time.Sleep(30 * time.Minute) },
		"a new one": func(_ *testing.T, f *fixture, _ string) { f.BeginSetup() },
		"accounts exist": func(t *testing.T, f *fixture, _ string) {
			f.create(t, "root", account.Viewer)
		},
		"guessed at": func(t *testing.T, f *fixture, token string) {
			for _, guess := range []string{"", token[1:], token + "A", strings.ToLower(token), "guess"} {
				_, err := f.Setup(t.Context(), guess, "eve", password)
				wantErr(t, err, account.ErrWrongSetup)
			}
		},
	}
	for about, spoil := range tests {
		t.Run(about, func(t *testing.T) {
			runEmpty(t, func(t *testing.T, f *fixture) {
				token, _ := f.BeginSetup()
				spoil(t, f, token)
				for _, try := range []string{token, ""} {
					_, err := f.Setup(t.Context(), try, "ada", password)
					wantErr(t, err, account.ErrWrongSetup)
				}
				_, err := f.Get(t.Context(), "ada")
				wantErr(t, err, store.ErrNotFound)
			})
		})
	}
}

func TestSetupWithoutBegin(t *testing.T) {
	runEmpty(t, func(t *testing.T, f *fixture) {
		_, err := f.Setup(t.Context(), "", "ada", password)
		wantErr(t, err, account.ErrWrongSetup)
	})
}

func TestSetupAfterFourWrongTries(t *testing.T) {
	runEmpty(t, func(t *testing.T, f *fixture) {
		token, _ := f.BeginSetup()
		for range 4 {
			_, err := f.Setup(t.Context(), "guess", "eve", password)
			wantErr(t, err, account.ErrWrongSetup)
		}
		must[account.Account](t)(f.Setup(t.Context(), token, "ada", password))
	})
}

func TestSetupSideBySide(t *testing.T) {
	runEmpty(t, func(t *testing.T, f *fixture) {
		token, _ := f.BeginSetup()
		setup := func(name string) func() error {
			return func() error { _, err := f.Setup(t.Context(), token, name, password); return err }
		}
		errs := together(setup("ada"), setup("eve"))
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), account.ErrWrongSetup) {
			t.Errorf("got %v, want exactly one to succeed", errs)
		}
		if list := must[[]account.Account](t)(f.List(t.Context())); len(list) != 1 {
			t.Errorf("got %d accounts", len(list))
		}
	})
}

func TestEnsurePassword(t *testing.T) {
	tests := map[string]func(t *testing.T, f *fixture){
		"no account":       func(*testing.T, *fixture) {},
		"another password": func(t *testing.T, f *fixture) { f.create(t, "admin", account.Admin) },
		"another role": func(t *testing.T, f *fixture) {
			must[account.Account](t)(f.Create(t.Context(), "admin", account.Viewer, "short but ensured"))
		},
		"disabled": func(t *testing.T, f *fixture) {
			must[account.Account](t)(f.Create(t.Context(), "admin", account.Admin, "short but ensured"))
			must[account.Account](t)(f.SetDisabled(t.Context(), "admin", true, 0))
		},
	}
	for about, prepare := range tests {
		t.Run(about, func(t *testing.T) {
			run(t, func(t *testing.T, f *fixture) {
				prepare(t, f)
				for _, want := range []bool{true, false} {
					if got := must[bool](t)(f.EnsurePassword(t.Context(), "Admin", "short but ensured")); got != want {
						t.Errorf("got changed %v, want %v", got, want)
					}
				}
				got, err := f.Login(t.Context(), account.Credentials{Name: "admin", Password: "short but ensured", From: home})
				if err != nil || got.Role != account.Admin {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		})
	}
}

func TestEnsurePasswordHasNoRulesButOne(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		must[bool](t)(f.EnsurePassword(t.Context(), "admin", "admin"))
		wantErr(t, f.login(t, "admin", "admin", "", home), nil)
		_, err := f.EnsurePassword(t.Context(), "admin", "")
		wantField(t, err, "password")
		_, err = f.EnsurePassword(t.Context(), "no name", password)
		wantField(t, err, "name")
	})
}

func TestEnsurePasswordSeesWhatAnotherNodeChanged(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		other := f.node(t, same)
		must[account.Account](t)(other.SetPassword(t.Context(), "root", password+" 2")) // which f has not read yet
		if changed := must[bool](t)(f.EnsurePassword(t.Context(), "root", password)); !changed {
			t.Error("nothing has changed")
		}
		wantErr(t, f.login(t, "root", password, "", home), nil)
	})
}

// TestEnsurePasswordOfTwoNodes has both start at the same time.
func TestEnsurePasswordOfTwoNodes(t *testing.T) {
	for range 20 {
		runEmpty(t, func(t *testing.T, f *fixture) {
			other := f.node(t, same)
			ensure := func(a *account.Accounts) func() error {
				return func() error { _, err := a.EnsurePassword(t.Context(), "admin", password); return err }
			}
			wantErr(t, errors.Join(together(ensure(f.Accounts), ensure(other))...), nil)
			wantErr(t, f.login(t, "admin", password, "", home), nil)
		})
	}
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]func(o *account.Options){
		"no key":    func(o *account.Options) { o.Key = nil },
		"short key": func(o *account.Options) { o.Key = bytes.Repeat([]byte{1}, 31) },
		"no store":  func(o *account.Options) { o.Documents = nil },
		"no logger": func(o *account.Options) { o.Logger = nil },
	}
	run(t, func(t *testing.T, f *fixture) {
		for about, spoil := range tests {
			opts := f.options()
			spoil(&opts)
			if a, err := account.New(t.Context(), opts); err == nil || a != nil {
				t.Errorf("%s: got %v, %v", about, a, err)
			}
		}
		f.documents.Fail(errors.New("cable"))
		_, err := account.New(t.Context(), f.options())
		wantErr(t, err, store.ErrUnavailable)
	})
}

func TestDamagedDocumentStopsTheStart(t *testing.T) {
	for _, kind := range []string{"account", "token"} {
		run(t, func(t *testing.T, f *fixture) {
			must[store.Document](t)(f.documents.PutDocument(t.Context(), store.Document{Kind: kind, ID: "broken", Body: []byte(`[]`)}))
			_, err := account.New(t.Context(), f.options())
			wantErr(t, err, store.ErrDamaged)
			if !strings.Contains(err.Error(), kind) || !strings.Contains(err.Error(), "broken") {
				t.Errorf("got %v, want it to name the document", err)
			}
		})
	}
}

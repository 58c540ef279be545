package account_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

func TestRoleAllows(t *testing.T) {
	roles := []account.Role{account.Viewer, account.Operator, account.Admin}
	for i, has := range roles {
		for j, needed := range roles {
			if got := has.Allows(needed); got != (i >= j) {
				t.Errorf("%s allows %s: got %v", has, needed, got)
			}
		}
		if has.Allows("") || has.Allows("owner") || account.Role("").Allows(has) || account.Role("owner").Allows(has) {
			t.Errorf("%s: what is no role allows or is allowed", has)
		}
		if got, err := account.ParseRole(string(has)); got != has || err != nil {
			t.Errorf("parse %s: got %q, %v", has, got, err)
		}
	}
	for _, s := range []string{"", "Admin", "owner"} {
		_, err := account.ParseRole(s)
		wantField(t, err, "role")
	}
}

func TestCreateNames(t *testing.T) {
	tests := []struct {
		name, want string // "" is a fault
	}{
		{"a", "a"}, {"Ada.L_9-x@Example.org", "ada.l_9-x@example.org"}, {strings.Repeat("n", 64), strings.Repeat("n", 64)},
		{"", ""}, {strings.Repeat("n", 65), ""}, {"with space", ""}, {"a/b", ""}, {"añb", ""}, {"a\x00", ""}, {"a\n", ""},
	}
	run(t, func(t *testing.T, f *fixture) {
		for _, tt := range tests {
			got, err := f.Create(t.Context(), tt.name, account.Viewer, password)
			if tt.want == "" {
				wantField(t, err, "name")
				continue
			}
			if err != nil || got.Name != tt.want {
				t.Errorf("%q: got %q, %v, want %q", tt.name, got.Name, err, tt.want)
			}
			if again, err := f.Get(t.Context(), strings.ToUpper(tt.name)); err != nil || again != got {
				t.Errorf("%q: got %+v, %v, want %+v", tt.name, again, err, got)
			}
		}
	})
}

func TestCreateTwiceInAnotherCase(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		_, err := f.Create(t.Context(), "ROOT", account.Viewer, password)
		wantErr(t, err, store.ErrConflict)
		if got := must[account.Account](t)(f.Get(t.Context(), "root")); got.Role != account.Admin {
			t.Errorf("got role %s, want it unchanged", got.Role)
		}
	})
}

func TestNewPasswords(t *testing.T) {
	tests := []struct {
		about, password string
		valid           bool
	}{
		{"shortest", strings.Repeat("p", 12), true},
		{"longest", strings.Repeat("p", 1024), true},
		{"one character only, no rule of composition", "            ", true},
		{"too short", strings.Repeat("p", 11), false},
		{"too long", strings.Repeat("p", 1025), false},
		{"empty", "", false},
		{"the name", "long-account-name", false},
		{"the name in another case", "Long-Account-NAME", false},
	}
	run(t, func(t *testing.T, f *fixture) {
		name := "long-account-name"
		f.create(t, name, account.Viewer)
		for _, tt := range tests {
			_, err := f.SetPassword(t.Context(), name, tt.password)
			if tt.valid {
				wantErr(t, err, nil)
				wantErr(t, f.login(t, name, tt.password, "", home), nil)
				continue
			}
			wantField(t, err, "password")
			_, err = f.Create(t.Context(), name, account.Viewer, tt.password)
			wantField(t, err, "password")
			if tt.password != "" && strings.Contains(err.Error(), tt.password) {
				t.Errorf("%s: the error holds the password", tt.about)
			}
		}
	})
}

func TestPasswordIsTheSameInEveryNormalForm(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		must[account.Account](t)(f.SetPassword(t.Context(), "root", "caf\u00e9 for tests only"))
		wantErr(t, f.login(t, "root", "cafe\u0301 for tests only", "", home), nil)
		wantErr(t, f.login(t, "root", "cafe for tests only", "", home), account.ErrWrongLogin)
	})
}

func TestListInOrder(t *testing.T) {
	runEmpty(t, func(t *testing.T, f *fixture) {
		if empty := must[bool](t)(f.Empty(t.Context())); !empty {
			t.Error("not empty at first")
		}
		for _, name := range []string{"m", "z", "a"} {
			f.create(t, name, account.Viewer)
		}
		var names []string
		for _, a := range must[[]account.Account](t)(f.List(t.Context())) {
			names = append(names, a.Name)
		}
		if got := strings.Join(names, " "); got != "a m z" {
			t.Errorf("got %s", got)
		}
		if empty := must[bool](t)(f.Empty(t.Context())); empty {
			t.Error("empty with three accounts")
		}
	})
}

// acts is every change of an account that ends its sessions.
var acts = map[string]func(t *testing.T, f *fixture, name string) error{
	"password": func(t *testing.T, f *fixture, name string) error {
		_, err := f.SetPassword(t.Context(), name, password+" 2")
		return err
	},
	"role": func(t *testing.T, f *fixture, name string) error {
		_, err := f.SetRole(t.Context(), name, account.Operator, 0)
		return err
	},
	"disable": func(t *testing.T, f *fixture, name string) error {
		_, err := f.SetDisabled(t.Context(), name, true, 0)
		return err
	},
	"delete": func(t *testing.T, f *fixture, name string) error { return f.Delete(t.Context(), name, 0) },
	"second factor off": func(t *testing.T, f *fixture, name string) error {
		return f.DisableTOTP(t.Context(), name)
	},
	"ensured password": func(t *testing.T, f *fixture, name string) error {
		_, err := f.EnsurePassword(t.Context(), name, password+" 3")
		return err
	},
}

func TestSessionsEndAtOnce(t *testing.T) {
	for about, act := range acts {
		t.Run(about, func(t *testing.T) {
			run(t, func(t *testing.T, f *fixture) {
				f.create(t, "eve", account.Viewer)
				f.enrol(t, "eve")
				before := must[account.Account](t)(f.Get(t.Context(), "eve"))
				other := must[account.Account](t)(f.Get(t.Context(), "root"))
				if got, err := f.Session(t.Context(), "Eve", before.Generation); err != nil || got != before {
					t.Fatalf("before: got %+v, %v", got, err)
				}
				wantErr(t, act(t, f, "eve"), nil)
				_, err := f.Session(t.Context(), "eve", before.Generation)
				wantErr(t, err, account.ErrEnded)
				_, err = f.Session(t.Context(), "root", other.Generation)
				wantErr(t, err, nil)
				if after, err := f.Get(t.Context(), "eve"); err == nil && (after.Generation == before.Generation || after.Revision == before.Revision) {
					t.Error("generation or revision is as before")
				}
			})
		})
	}
}

func TestNothingChangedEndsNoSession(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		before, puts := must[account.Account](t)(f.Get(t.Context(), "root")), f.documents.puts.Load()
		time.Sleep(time.Hour)
		must[account.Account](t)(f.SetRole(t.Context(), "root", account.Admin, before.Revision))
		must[account.Account](t)(f.SetDisabled(t.Context(), "root", false, before.Revision))
		wantErr(t, f.DisableTOTP(t.Context(), "root"), nil)
		if changed := must[bool](t)(f.EnsurePassword(t.Context(), "root", password)); changed {
			t.Error("ensured password has changed")
		}
		if got := must[account.Account](t)(f.Session(t.Context(), "root", before.Generation)); got != before {
			t.Errorf("got %+v, want %+v", got, before)
		}
		if got := f.documents.puts.Load(); got != puts {
			t.Errorf("got %d writes, want none", got-puts)
		}
	})
}

func TestSessionEndsWhenNobodyKnowsWhetherTheChangeHappened(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		before := must[account.Account](t)(f.Get(t.Context(), "root"))
		f.documents.lose.Store(true)
		_, err := f.SetPassword(t.Context(), "root", password+" 2")
		wantErr(t, err, store.ErrUnavailable)
		_, err = f.Session(t.Context(), "root", before.Generation)
		wantErr(t, err, account.ErrEnded)
	})
}

func TestDisabledSessionStaysEndedWhenEnabledAgain(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		before := f.create(t, "eve", account.Viewer)
		for _, disabled := range []bool{true, false} {
			must[account.Account](t)(f.SetDisabled(t.Context(), "eve", disabled, 0))
		}
		_, err := f.Session(t.Context(), "eve", before.Generation)
		wantErr(t, err, account.ErrEnded)
		wantErr(t, f.login(t, "eve", password, "", home), nil)
	})
}

func TestRecreatedAccountRevivesNothing(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		old := f.create(t, "eve", account.Viewer)
		wantErr(t, f.Delete(t.Context(), "eve", 0), nil)
		again := f.create(t, "eve", account.Viewer)
		for generation := old.Generation - 3; generation <= old.Generation+3; generation++ {
			_, err := f.Session(t.Context(), "eve", generation)
			wantErr(t, err, account.ErrEnded)
		}
		wantErr(t, f.Delete(t.Context(), "eve", old.Revision), store.ErrConflict)
		if again.Generation >= 1<<53 || again.Revision >= 1<<53 {
			t.Errorf("got %d and %d, which JSON numbers do not hold", again.Generation, again.Revision)
		}
	})
}

func TestLastAdminStays(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		f.create(t, "second", account.Admin)
		must[account.Account](t)(f.SetDisabled(t.Context(), "second", true, 0)) // does not count
		f.create(t, "op", account.Operator)
		before := must[account.Account](t)(f.Get(t.Context(), "root"))

		_, err := f.SetRole(t.Context(), "root", account.Operator, 0)
		wantErr(t, err, account.ErrLastAdmin)
		_, err = f.SetDisabled(t.Context(), "root", true, 0)
		wantErr(t, err, account.ErrLastAdmin)
		wantErr(t, f.Delete(t.Context(), "root", 0), account.ErrLastAdmin)
		if got := must[account.Account](t)(f.Session(t.Context(), "root", before.Generation)); got != before {
			t.Errorf("got %+v, want %+v", got, before)
		}

		must[account.Account](t)(f.SetDisabled(t.Context(), "second", false, 0))
		wantErr(t, f.Delete(t.Context(), "root", 0), nil)
		wantErr(t, f.Delete(t.Context(), "op", 0), nil)
	})
}

func TestAdminCanBeEnabledWhenThereIsNone(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		f.overwrite(t, "account", "root", strings.Replace(f.body(t, "account", "root"), "{", `{"disabled":true,`, 1))
		wantErr(t, f.login(t, "root", password, "", home), account.ErrWrongLogin)
		must[account.Account](t)(f.SetDisabled(t.Context(), "root", false, 0))
		wantErr(t, f.login(t, "root", password, "", home), nil)
	})
}

func TestAdminsCannotRemoveEachOther(t *testing.T) {
	for range 20 {
		run(t, func(t *testing.T, f *fixture) {
			f.create(t, "second", account.Admin)
			errs := together(
				func() error { return f.Delete(t.Context(), "root", 0) },
				func() error { _, err := f.SetRole(t.Context(), "second", account.Viewer, 0); return err },
			)
			if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), account.ErrLastAdmin) {
				t.Errorf("got %v, want exactly one refused", errs)
			}
		})
	}
}

func TestStaleRevision(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		stale := f.create(t, "eve", account.Viewer).Revision
		wantErr(t, f.login(t, "eve", password, "", home), nil) // does not make it stale
		changed := must[account.Account](t)(f.SetRole(t.Context(), "eve", account.Operator, stale))
		_, err := f.SetRole(t.Context(), "eve", account.Viewer, stale)
		wantErr(t, err, store.ErrConflict)
		_, err = f.SetDisabled(t.Context(), "eve", true, stale)
		wantErr(t, err, store.ErrConflict)
		wantErr(t, f.Delete(t.Context(), "eve", stale), store.ErrConflict)
		if got := must[account.Account](t)(f.Get(t.Context(), "eve")); got.Role != account.Operator || got.Disabled || got.Revision != changed.Revision {
			t.Errorf("got %+v, want %+v", got, changed)
		}
		wantErr(t, f.Delete(t.Context(), "eve", changed.Revision), nil)
	})
}

func TestUnknownAccount(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		for _, name := range []string{"nobody", "", "no name"} {
			for about, act := range acts {
				if about == "ensured password" {
					continue // makes the account
				}
				if err := act(t, f, name); !errors.Is(err, store.ErrNotFound) && (about != "second factor off" || err != nil) {
					t.Errorf("%s of %q: got %v", about, name, err)
				}
			}
			_, err := f.BeginTOTP(t.Context(), name)
			wantErr(t, err, store.ErrNotFound)
			_, err = f.ConfirmTOTP(t.Context(), name, "000000")
			wantErr(t, err, store.ErrNotFound)
			_, err = f.NewRecoveryCodes(t.Context(), name)
			wantErr(t, err, store.ErrNotFound)
			_, err = f.Session(t.Context(), name, 0)
			wantErr(t, err, account.ErrEnded)
		}
	})
}

// TestNoLostUpdate has two nodes change one account, each another part of it.
func TestNoLostUpdate(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		other := f.node(t, same)
		for i := range 30 {
			name := fmt.Sprintf("person-%d", i)
			f.create(t, name, account.Viewer)
			errs := together(
				func() error { _, err := f.SetRole(t.Context(), name, account.Operator, 0); return err },
				func() error { _, err := other.SetDisabled(t.Context(), name, true, 0); return err },
				func() error { _, err := f.SetPassword(t.Context(), name, password+" 2"); return err },
				func() error { _, err := other.BeginTOTP(t.Context(), name); return err },
			)
			wantErr(t, errors.Join(errs...), nil)
			time.Sleep(time.Second)
			got := must[account.Account](t)(f.Get(t.Context(), name))
			if got.Role != account.Operator || !got.Disabled {
				t.Fatalf("got %+v, want an operator who is disabled", got)
			}
			if !strings.Contains(f.body(t, "account", name), `"pending"`) {
				t.Fatal("the enrolment is lost")
			}
		}
	})
}

func TestChangeIsMadeAgainWhenAnotherNodeCameBetween(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		stale := f.create(t, "eve", account.Viewer)
		other := f.node(t, same)
		f.documents.meanwhileDo(func() { must[account.Account](t)(other.SetDisabled(t.Context(), "eve", true, 0)) })
		if got := must[account.Account](t)(f.SetRole(t.Context(), "eve", account.Operator, 0)); got.Role != account.Operator || !got.Disabled {
			t.Errorf("got %+v, want both changes", got)
		}
		f.documents.meanwhileDo(func() { must[account.Account](t)(other.SetDisabled(t.Context(), "eve", false, 0)) })
		_, err := f.SetRole(t.Context(), "eve", account.Viewer, stale.Revision+2)
		wantErr(t, err, store.ErrConflict) // who gave a revision meant what he saw

		f.documents.meanwhileDo(func() { must[account.Account](t)(other.SetDisabled(t.Context(), "eve", true, 0)) })
		wantErr(t, f.Delete(t.Context(), "eve", 0), nil)
	})
}

func TestOtherNodesCountWithinASecond(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		eve := f.create(t, "eve", account.Viewer)
		other := f.node(t, same)
		if _, err := other.Session(t.Context(), "eve", eve.Generation); err != nil {
			t.Fatal(err)
		}
		must[account.Account](t)(f.SetDisabled(t.Context(), "eve", true, 0))
		time.Sleep(time.Second)
		_, err := other.Session(t.Context(), "eve", eve.Generation)
		wantErr(t, err, account.ErrEnded)
	})
}

// together runs functions side by side and returns their errors.
func together(fs ...func() error) []error {
	errs := make([]error, len(fs))
	var wg sync.WaitGroup
	for i, f := range fs {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	return errs
}

package account_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

func TestLogin(t *testing.T) {
	tests := []struct {
		about, name, password string
		want                  error
	}{
		{"right", "root", password, nil},
		{"name in another case", "ROOT", password, nil},
		{"wrong password", "root", wrong, account.ErrWrongLogin},
		{"empty password", "root", "", account.ErrWrongLogin},
		{"longer password", "root", password + " ", account.ErrWrongLogin},
		{"unknown name", "nobody", password, account.ErrWrongLogin},
		{"no name", "", password, account.ErrWrongLogin},
		{"what cannot be a name", "root ", password, account.ErrWrongLogin},
		{"disabled", "gone", password, account.ErrWrongLogin},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			run(t, func(t *testing.T, f *fixture) {
				f.create(t, "gone", account.Admin)
				must[account.Account](t)(f.SetDisabled(t.Context(), "gone", true, 0))
				time.Sleep(time.Hour)
				got, err := f.Login(t.Context(), account.Credentials{Name: tt.name, Password: tt.password, From: home})
				wantErr(t, err, tt.want)
				if err != nil {
					if got != (account.Account{}) || err.Error() != tt.want.Error() {
						t.Errorf("got %+v, %q: more than the bare error", got, err)
					}
					return
				}
				if want := must[account.Account](t)(f.Get(t.Context(), "root")); got != want || !got.LastLogin.Equal(time.Now()) {
					t.Errorf("got %+v, want %+v of now", got, want)
				}
				_, err = f.Session(t.Context(), got.Name, got.Generation)
				wantErr(t, err, nil)
			})
		})
	}
}

func TestHashIsMadeAnewWhenItsCostHasChanged(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		dearer := f.node(t, func(o *account.Options) { *o = account.Cheap(*o, 2) })
		before := must[account.Account](t)(f.Get(t.Context(), "root"))
		login := func(password string) (account.Account, error) {
			return dearer.Login(t.Context(), account.Credentials{Name: "root", Password: password, From: home})
		}
		_, err := login(wrong)
		wantErr(t, err, account.ErrWrongLogin)
		if !strings.Contains(f.body(t, "account", "root"), "m=64,t=1,p=1") {
			t.Error("a failure changed the hash")
		}
		got := must[account.Account](t)(login(password))
		if !strings.Contains(f.body(t, "account", "root"), "m=64,t=2,p=1") {
			t.Error("the hash is the old one")
		}
		if got.Generation != before.Generation || got.Revision != before.Revision {
			t.Error("making the hash anew changed generation or revision")
		}
		must[account.Account](t)(login(password))
	})
}

func TestLoginWithoutRoomToWrite(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		f.documents.refuse.Store(true)
		wantErr(t, f.login(t, "root", password, "", home), nil)
		wantErr(t, f.login(t, "root", wrong, "", home), account.ErrWrongLogin)
	})
}

func TestStoreOutOfReach(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		root := must[account.Account](t)(f.Get(t.Context(), "root"))
		_, secret, err := f.CreateToken(t.Context(), account.NewToken{Name: "ci", Role: account.Viewer})
		wantErr(t, err, nil)
		f.documents.Fail(errors.New("cable"))
		time.Sleep(time.Second)
		_, err = f.Session(t.Context(), "root", root.Generation)
		wantErr(t, err, store.ErrUnavailable)
		_, err = f.Authenticate(t.Context(), secret, home)
		wantErr(t, err, store.ErrUnavailable)
		for range 10 { // none of which is a failure of the person
			wantErr(t, f.login(t, "root", password, "", home), store.ErrUnavailable)
		}
		f.documents.Fail(nil)
		wantErr(t, f.login(t, "root", password, "", home), nil)
		_, err = f.Session(t.Context(), "root", root.Generation)
		wantErr(t, err, nil)
		_, err = f.Authenticate(t.Context(), secret, home)
		wantErr(t, err, nil)
	})
}

func TestFiveFailuresLockThePair(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		f.create(t, "eve", account.Viewer)
		session := must[account.Account](t)(f.Get(t.Context(), "root"))
		f.fail(t, 5, "root", home)
		wantLocked(t, f.login(t, "root", password, "", home), 15*time.Minute)
		wantLocked(t, f.login(t, "ROOT", wrong, "", home), 15*time.Minute)
		wantLocked(t, f.CheckPassword(t.Context(), "root", password, home), 15*time.Minute)
		wantErr(t, f.login(t, "root", password, "", elsewhere), nil)
		wantErr(t, f.login(t, "eve", password, "", home), nil)
		_, err := f.Session(t.Context(), "root", session.Generation)
		wantErr(t, err, nil)

		time.Sleep(15*time.Minute - time.Second)
		wantLocked(t, f.login(t, "root", password, "", home), time.Second)
		time.Sleep(time.Second)
		f.fail(t, 4, "root", home) // a lock that is over leaves no failures
		wantErr(t, f.login(t, "root", password, "", home), nil)
	})
}

func TestFailuresThatDoNotLock(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		for range 10 { // never five in a window
			f.fail(t, 1, "root", home)
			time.Sleep(4 * time.Minute)
		}
		wantErr(t, f.login(t, "root", password, "", home), nil)
		for range 3 { // a success forgets
			f.fail(t, 4, "root", elsewhere)
			wantErr(t, f.login(t, "root", password, "", elsewhere), nil)
		}
	})
}

func TestLockoutTellsNoNames(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		for _, name := range []string{"nobody", "not a name", ""} {
			from := address(len(name))
			f.fail(t, 5, name, from)
			wantLocked(t, f.login(t, name, password, "", from), 15*time.Minute)
		}
	})
}

func TestWhatIsOneAddress(t *testing.T) {
	tests := []struct {
		about, fails, tries string
		locked              bool
	}{
		{"same IPv4", "192.0.2.1", "192.0.2.1", true},
		{"next IPv4", "192.0.2.1", "192.0.2.2", false},
		{"mapped IPv4", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"other mapped IPv4", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"same /64", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"next /64", "2001:db8::1", "2001:db8:0:1::1", false},
		{"behind a translator", "64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", false},
		{"zone", "fe80::1%eth0", "fe80::2%eth1", true},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			run(t, func(t *testing.T, f *fixture) {
				f.fail(t, 5, "root", netip.MustParseAddr(tt.fails))
				err := f.login(t, "root", password, "", netip.MustParseAddr(tt.tries))
				var locked *account.LockedError
				if errors.As(err, &locked) != tt.locked || !tt.locked && err != nil {
					t.Errorf("got %v, want locked: %v", err, tt.locked)
				}
			})
		})
	}
	run(t, func(t *testing.T, f *fixture) { // no address, as of a Unix socket
		f.fail(t, 5, "root", netip.Addr{})
		wantLocked(t, f.login(t, "root", password, "", netip.Addr{}), 15*time.Minute)
	})
}

func TestFailuresOfTheSecondFactorCount(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		secret, recovery := f.enrol(t, "root")
		for i := range 5 {
			// That the code is missing neither counts nor resets.
			wantErr(t, f.login(t, "root", password, "", home), account.ErrCodeNeeded)
			bad := []string{wrongCode(t, secret), "aaaa-aaaa-aaaa-aaaa"}[i%2]
			wantErr(t, f.login(t, "root", password, bad, home), account.ErrWrongCode)
		}
		wantLocked(t, f.login(t, "root", password, recovery[0], home), 15*time.Minute)
	})
}

func TestCheckPasswordCounts(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		wantErr(t, f.CheckPassword(t.Context(), "root", password, home), nil)
		for range 5 {
			wantErr(t, f.CheckPassword(t.Context(), "root", wrong, home), account.ErrWrongLogin)
		}
		wantLocked(t, f.login(t, "root", password, "", home), 15*time.Minute)
	})
}

func TestCheckPasswordOfADisabledAccount(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		f.create(t, "eve", account.Viewer)
		must[account.Account](t)(f.SetDisabled(t.Context(), "eve", true, 0))
		wantErr(t, f.CheckPassword(t.Context(), "eve", password, home), account.ErrWrongLogin)
	})
}

func TestAccountDisabledBetweenPasswordAndLogin(t *testing.T) {
	acts := map[string]func(t *testing.T, other *account.Accounts) error{
		"disabled": func(t *testing.T, other *account.Accounts) error {
			_, err := other.SetDisabled(t.Context(), "eve", true, 0)
			return err
		},
		"another password": func(t *testing.T, other *account.Accounts) error {
			_, err := other.SetPassword(t.Context(), "eve", password+" 2")
			return err
		},
		"deleted": func(t *testing.T, other *account.Accounts) error { return other.Delete(t.Context(), "eve", 0) },
	}
	for about, act := range acts {
		t.Run(about, func(t *testing.T) {
			run(t, func(t *testing.T, f *fixture) {
				f.create(t, "eve", account.Viewer)
				other := f.node(t, same)
				f.documents.meanwhileDo(func() { wantErr(t, act(t, other), nil) })
				wantErr(t, f.login(t, "eve", password, "", home), account.ErrWrongLogin)
			})
		})
	}
}

func TestSecondFactorSwitchedOnBetweenPasswordAndLogin(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		other := f.node(t, same)
		e := must[account.Enrolment](t)(f.BeginTOTP(t.Context(), "root"))
		f.documents.meanwhileDo(func() {
			must[[]string](t)(other.ConfirmTOTP(t.Context(), "root", code(t, e.Secret, 0)))
		})
		wantErr(t, f.login(t, "root", password, "", home), account.ErrCodeNeeded)
	})
}

func TestSessionOfAnotherNodeCountsAtOnce(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		other := f.node(t, same)
		time.Sleep(200 * time.Millisecond)
		now := must[account.Account](t)(f.SetPassword(t.Context(), "root", password+" 2"))
		_, err := other.Session(t.Context(), "root", now.Generation)
		wantErr(t, err, nil)
	})
}

// TestAttemptsSideBySide has all of them wait for the delay of an account that
// many fail on, so that none has failed when the last begins.
func TestAttemptsSideBySide(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		for i := range 40 {
			f.fail(t, 1, "root", address(i))
		}
		var fs []func() error
		for range 100 {
			fs = append(fs, func() error { return f.login(t, "root", wrong, "", home) })
		}
		tried := 0
		for _, err := range together(fs...) {
			if errors.Is(err, account.ErrWrongLogin) {
				tried++
			}
		}
		if tried != 5 {
			t.Errorf("%d passwords were tried, want 5", tried)
		}
		wantLocked(t, f.login(t, "root", password, "", home), 15*time.Minute)
	})
}

func TestOnLockout(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		f.fail(t, 5, "Root", home)
		wantLocked(t, f.login(t, "root", password, "", home), 15*time.Minute)
		f.fail(t, 5, "a-password-typed-as-a-name", home)
		if got := strings.Join(*f.lockouts.Load(), ", "); got != "root 192.0.2.7" {
			t.Errorf("got %s", got)
		}
		if strings.Contains(f.log.String(), "typed") || !strings.Contains(f.log.String(), "root") {
			t.Errorf("got log %s", f.log)
		}
	})
}

func TestManyAddressesSlowAnAccount(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		f.create(t, "eve", account.Viewer)
		took := func(name, pass string, from netip.Addr) time.Duration {
			start := time.Now()
			_ = f.login(t, name, pass, "", from)
			return time.Since(start)
		}
		for i := range 21 {
			if got := took("root", wrong, address(i)); got != 0 {
				t.Fatalf("attempt %d took %v", i, got)
			}
		}
		for i := range 25 {
			want := min(5*time.Second, time.Duration(i+1)*250*time.Millisecond)
			if got := took("root", wrong, address(100+i)); got != want {
				t.Fatalf("attempt %d took %v, want %v", i, got, want)
			}
		}
		start := time.Now()
		wantErr(t, f.login(t, "root", password, "", home), nil) // slowed, not locked
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("took %v, want 5s", got)
		}
		if got := took("eve", password, address(1)); got != 0 {
			t.Errorf("another account took %v", got)
		}
		time.Sleep(17 * time.Minute)
		if got := took("root", password, home); got != 0 {
			t.Errorf("took %v after the window", got)
		}
	})
}

func TestSlowAttemptsTakeNoPlaceAndEndWithTheirContext(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		f.create(t, "eve", account.Viewer)
		for i := range 60 {
			f.fail(t, 1, "root", address(i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var fs []func() error
		for i := range 10 {
			fs = append(fs, func() error {
				_, err := f.Login(ctx, account.Credentials{Name: "root", Password: password, From: address(1000 + i)})
				return err
			})
		}
		fs = append(fs, func() error {
			synctest.Wait() // until all others wait
			start := time.Now()
			defer func() {
				if got := time.Since(start); got != 0 {
					t.Errorf("another account waited %v", got)
				}
			}()
			return f.login(t, "eve", password, "", home)
		})
		for i, err := range together(fs...) {
			if i == 10 {
				wantErr(t, err, nil)
			} else {
				wantErr(t, err, context.DeadlineExceeded)
			}
		}
	})
}

func TestAttemptsGivenUpAreNoFailures(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		for i := range 40 {
			f.fail(t, 1, "root", address(i))
		}
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := f.Login(ctx, account.Credentials{Name: "root", Password: password, From: home})
			cancel()
			wantErr(t, err, context.DeadlineExceeded)
		}
		wantErr(t, f.login(t, "root", password, "", home), nil)
	})
}

func TestNothingSecretIsStoredOrLogged(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		secret, recovery := f.enrol(t, "root")
		_, token, err := f.CreateToken(t.Context(), account.NewToken{Name: "ci", Role: account.Viewer})
		wantErr(t, err, nil)
		setup, _ := f.BeginSetup()
		_ = f.login(t, "root", password, wrongCode(t, secret), home)
		f.fail(t, 4, "root", home)
		everything := f.body(t, "account", "root") + f.body(t, "token", "ci") + f.log.String()
		plain := []string{password, wrong, secret, token, token[5:], setup}
		for _, c := range recovery {
			plain = append(plain, c, strings.ReplaceAll(c, "-", ""))
		}
		for _, s := range plain {
			if strings.Contains(everything, s) {
				t.Errorf("found %q", s)
			}
		}
	})
}

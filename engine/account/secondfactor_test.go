package account_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// enrol switches the second factor of an account on. The codes of now are used
// up, those of the next step are not.
func (f *fixture) enrol(t *testing.T, name string) (secret string, recovery []string) {
	t.Helper()
	e := must[account.Enrolment](t)(f.BeginTOTP(t.Context(), name))
	return e.Secret, must[[]string](t)(f.ConfirmTOTP(t.Context(), name, code(t, e.Secret, 0)))
}

// code returns the code of a number of steps from now.
func code(t *testing.T, secret string, steps int) string {
	t.Helper()
	return must[string](t)(totp.GenerateCode(secret, time.Now().Add(time.Duration(steps)*30*time.Second)))
}

// wrongCode returns a code that is none of those around now.
func wrongCode(t *testing.T, secret string) string {
	t.Helper()
	near := map[string]bool{}
	for steps := -2; steps <= 2; steps++ {
		near[code(t, secret, steps)] = true
	}
	for i := 0; ; i++ {
		if c := fmt.Sprintf("%06d", i); !near[c] {
			return c
		}
	}
}

func TestSecondFactor(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		e := must[account.Enrolment](t)(f.BeginTOTP(t.Context(), "Root"))
		wantErr(t, f.login(t, "root", password, "", home), nil) // not in force yet
		must[[]string](t)(f.ConfirmTOTP(t.Context(), "root", " "+code(t, e.Secret, 0)[:3]+" "+code(t, e.Secret, 0)[3:]))
		if got := must[account.Account](t)(f.Get(t.Context(), "root")); !got.SecondFactor || got.RecoveryCodes != 10 {
			t.Errorf("got %+v", got)
		}
		wantErr(t, f.login(t, "root", password, "", home), account.ErrCodeNeeded)
		wantErr(t, f.login(t, "root", wrong, code(t, e.Secret, 1), home), account.ErrWrongLogin)
		wantErr(t, f.login(t, "root", password, wrongCode(t, e.Secret), home), account.ErrWrongCode)
		wantErr(t, f.login(t, "root", password, code(t, e.Secret, 1), home), nil)

		_, err := f.BeginTOTP(t.Context(), "root")
		wantErr(t, err, account.ErrSecondFactorOn)
		wantErr(t, f.DisableTOTP(t.Context(), "root"), nil)
		wantErr(t, f.login(t, "root", password, "", home), nil)
		if got := must[account.Account](t)(f.Get(t.Context(), "root")); got.SecondFactor || got.RecoveryCodes != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestEnrolment(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		e := must[account.Enrolment](t)(f.BeginTOTP(t.Context(), "root"))
		u, err := url.Parse(e.URL)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Key-IP Sentinel:root" || q.Get("secret") != e.Secret ||
			q.Get("issuer") != "Key-IP Sentinel" || q.Get("period") != "30" || q.Get("digits") != "6" || q.Get("algorithm") != "SHA1" {
			t.Errorf("got %s", u)
		}
		if len(e.Secret) != 32 { // 20 bytes in base32
			t.Errorf("got a secret of %d characters", len(e.Secret))
		}
		picture, err := png.Decode(bytes.NewReader(e.QR))
		if err != nil || picture.Bounds().Dx() != 256 || picture.Bounds().Dy() != 256 {
			t.Errorf("got %v, %v", picture, err)
		}
	})
}

func TestEnrolmentIsOver(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		_, err := f.ConfirmTOTP(t.Context(), "root", "123456")
		wantErr(t, err, account.ErrNoEnrolment)

		first := must[account.Enrolment](t)(f.BeginTOTP(t.Context(), "root"))
		second := must[account.Enrolment](t)(f.BeginTOTP(t.Context(), "root"))
		_, err = f.ConfirmTOTP(t.Context(), "root", code(t, first.Secret, 0))
		wantErr(t, err, account.ErrWrongCode)

		time.Sleep(15 * time.Minute)
		_, err = f.ConfirmTOTP(t.Context(), "root", code(t, second.Secret, 0))
		wantErr(t, err, account.ErrNoEnrolment)

		third := must[account.Enrolment](t)(f.BeginTOTP(t.Context(), "root"))
		time.Sleep(15*time.Minute - time.Second)
		must[[]string](t)(f.ConfirmTOTP(t.Context(), "root", code(t, third.Secret, 0)))
	})
}

func TestDisablingVoidsAnEnrolment(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		e := must[account.Enrolment](t)(f.BeginTOTP(t.Context(), "root"))
		wantErr(t, f.DisableTOTP(t.Context(), "root"), nil)
		_, err := f.ConfirmTOTP(t.Context(), "root", code(t, e.Secret, 0))
		wantErr(t, err, account.ErrNoEnrolment)
	})
}

func TestCodesOfNow(t *testing.T) {
	for steps := -2; steps <= 2; steps++ {
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			run(t, func(t *testing.T, f *fixture) {
				secret, _ := f.enrol(t, "root")
				time.Sleep(10 * time.Minute) // away from the code of the enrolment
				var want error
				if steps < -1 || steps > 1 {
					want = account.ErrWrongCode
				}
				wantErr(t, f.login(t, "root", password, code(t, secret, steps), home), want)
			})
		})
	}
}

func TestCodeWorksOnce(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		secret, _ := f.enrol(t, "root")
		wantErr(t, f.login(t, "root", password, code(t, secret, 0), home), account.ErrWrongCode) // used in enrolling
		wantErr(t, f.login(t, "root", password, code(t, secret, 1), home), nil)
		wantErr(t, f.login(t, "root", password, code(t, secret, 1), home), account.ErrWrongCode)
		wantErr(t, f.login(t, "root", password, code(t, secret, 0), home), account.ErrWrongCode) // older than the last

		// It stays used after a new start.
		again := f.node(t, same)
		_, err := again.Login(t.Context(), account.Credentials{Name: "root", Password: password, Code: code(t, secret, 1), From: home})
		wantErr(t, err, account.ErrWrongCode)
	})
}

func TestCodeWorksOnceSideBySide(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		secret, recovery := f.enrol(t, "root")
		other := f.node(t, same)
		for _, c := range []string{code(t, secret, 1), recovery[0]} {
			login := func(a *account.Accounts, from netip.Addr) func() error {
				return func() error {
					_, err := a.Login(t.Context(), account.Credentials{Name: "root", Password: password, Code: c, From: from})
					return err
				}
			}
			right := 0
			for _, err := range together(login(f.Accounts, home), login(f.Accounts, elsewhere), login(other, home), login(other, elsewhere)) {
				if err == nil {
					right++
				} else if !errors.Is(err, account.ErrWrongCode) {
					t.Errorf("got %v", err)
				}
			}
			if right != 1 {
				t.Errorf("%d logins with one code, want 1", right)
			}
		}
	})
}

func TestCodeThatCannotBeWrittenDownIsRefused(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		secret, recovery := f.enrol(t, "root")
		f.documents.refuse.Store(true)
		for _, c := range []string{code(t, secret, 1), recovery[0]} {
			wantErr(t, f.login(t, "root", password, c, home), store.ErrUnavailable)
		}
		f.documents.refuse.Store(false)
		wantErr(t, f.login(t, "root", password, code(t, secret, 1), home), nil)
	})
}

func TestRecoveryCodes(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		_, err := f.NewRecoveryCodes(t.Context(), "root")
		wantErr(t, err, account.ErrSecondFactorOff)
		_, codes := f.enrol(t, "root")
		form, seen := regexp.MustCompile(`^[a-z2-7]{4}(-[a-z2-7]{4}){3}$`), map[string]bool{}
		for _, c := range codes {
			if !form.MatchString(c) || seen[c] {
				t.Errorf("got code %q", c)
			}
			seen[c] = true
		}
		typed := []string{codes[0], strings.ToUpper(codes[1]), strings.ReplaceAll(codes[2], "-", ""), " " + strings.ReplaceAll(codes[3], "-", " ") + "\n"}
		for i, c := range typed {
			wantErr(t, f.login(t, "root", password, c, home), nil)
			wantErr(t, f.login(t, "root", password, c, home), account.ErrWrongCode)
			if got := must[account.Account](t)(f.Get(t.Context(), "root")); got.RecoveryCodes != 9-i {
				t.Errorf("got %d left, want %d", got.RecoveryCodes, 9-i)
			}
			wantErr(t, f.CheckPassword(t.Context(), "root", password, home), nil) // forgets the failures
		}

		fresh := must[[]string](t)(f.NewRecoveryCodes(t.Context(), "root"))
		wantErr(t, f.login(t, "root", password, codes[9], home), account.ErrWrongCode)
		wantErr(t, f.login(t, "root", password, fresh[9], home), nil)
	})
}

func TestSecondFactorIsSealed(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		secret, recovery := f.enrol(t, "root")
		moved := f.node(t, func(o *account.Options) { o.Key = bytes.Repeat([]byte{8}, 32) })
		login := func(code string) error {
			_, err := moved.Login(t.Context(), account.Credentials{Name: "root", Password: password, Code: code, From: home})
			return err
		}
		wantErr(t, login(code(t, secret, 1)), account.ErrSealed)
		wantErr(t, login(recovery[0]), nil)
	})
}

// TestReseal gives accounts another key: second factors of the one before are good, and
// once sealed anew also without it.
func TestReseal(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		old, now := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
		secret, _ := f.enrol(t, "root")
		f.create(t, "eve", account.Viewer)
		pending := must[account.Enrolment](t)(f.BeginTOTP(t.Context(), "eve"))
		login := func(a *account.Accounts, steps int) error {
			_, err := a.Login(t.Context(), account.Credentials{Name: "root", Password: password, Code: code(t, secret, steps), From: home})
			return err
		}
		both := f.node(t, func(o *account.Options) { o.Key, o.OldKeys = now, [][]byte{old} })
		wantErr(t, login(both, 1), nil)
		for _, want := range []int{2, 0} {
			if n, err := both.Reseal(t.Context()); n != want || err != nil {
				t.Errorf("sealed %d anew, %v, want %d", n, err, want)
			}
		}
		moved := f.node(t, func(o *account.Options) { o.Key = now })
		time.Sleep(time.Minute)
		wantErr(t, login(moved, 0), nil)
		must[[]string](t)(moved.ConfirmTOTP(t.Context(), "eve", code(t, pending.Secret, 0)))
		third := f.node(t, func(o *account.Options) { o.Key, o.OldKeys = bytes.Repeat([]byte{9}, 32), [][]byte{old} })
		if n, err := third.Reseal(t.Context()); n != 0 || err != nil {
			t.Errorf("sealed %d anew that no key opens, %v", n, err)
		}
		wantErr(t, login(moved, 0), account.ErrWrongCode) // used already: it is still the same secret
	})
}

func TestSealedSecretBelongsToItsAccount(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		f.create(t, "eve", account.Viewer)
		secret, _ := f.enrol(t, "eve")
		f.enrol(t, "root")
		var root, eve map[string]any
		for name, to := range map[string]*map[string]any{"root": &root, "eve": &eve} {
			if err := json.Unmarshal([]byte(f.body(t, "account", name)), to); err != nil {
				t.Fatal(err)
			}
		}
		root["totp"] = eve["totp"]
		f.overwrite(t, "account", "root", string(must[[]byte](t)(json.Marshal(root))))
		wantErr(t, f.login(t, "root", password, code(t, secret, 1), home), account.ErrSealed)
		wantErr(t, f.login(t, "eve", password, code(t, secret, 1), home), nil)
	})
}

func TestTooManyCodesFromManyAddresses(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		secret, recovery := f.enrol(t, "root")
		for i := range 20 {
			wantErr(t, f.login(t, "root", password, wrongCode(t, secret), address(i)), account.ErrWrongCode)
		}
		wantLocked(t, f.login(t, "root", password, code(t, secret, 1), address(20)), time.Minute)
		wantErr(t, f.login(t, "root", password, "", address(20)), account.ErrCodeNeeded)
		wantErr(t, f.login(t, "root", wrong, "", address(20)), account.ErrWrongLogin) // not for who lacks the password
		time.Sleep(16 * time.Minute)
		wantErr(t, f.login(t, "root", password, code(t, secret, 1), address(21)), nil)

		for i := range 20 {
			wantErr(t, f.login(t, "root", password, wrongCode(t, secret), address(i)), account.ErrWrongCode)
		}
		wantErr(t, f.login(t, "root", password, recovery[0], address(22)), nil)
		time.Sleep(time.Minute)
		wantErr(t, f.login(t, "root", password, code(t, secret, 1), address(22)), nil) // the success forgot them
	})
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

// overwrite puts a body in place of that of a document, past the accounts, and
// waits until they read it.
func (f *fixture) overwrite(t *testing.T, kind, id, body string) {
	t.Helper()
	d := must[store.Document](t)(f.documents.Document(t.Context(), kind, id))
	d.Body = []byte(body)
	must[store.Document](t)(f.documents.PutDocument(t.Context(), d))
	time.Sleep(time.Second)
}

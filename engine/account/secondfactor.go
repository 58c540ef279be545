package account

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"image/png"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// step is how long one code of an authenticator is the current one, RFC 6238.
	step = 30 * time.Second
	// skewSteps is how many steps before and after are taken too.
	skewSteps = 1
	// secretBytes is the length that RFC 4226, section 4, recommends.
	secretBytes = 20
	// enrolFor is how long an enrolment waits for its first code.
	enrolFor = 15 * time.Minute
	// qrPixels is the width and the height of the picture of an enrolment.
	qrPixels = 256
)

// totpRecord is an authenticator of an account.
type totpRecord struct {
	Secret []byte `json:"secret"` // sealed
	// LastStep is the step of the last code that was used: neither it nor an
	// earlier one is taken again, RFC 6238 section 5.2.
	LastStep int64 `json:"lastStep"`
	// Expires is when a pending enrolment is over.
	Expires time.Time `json:"expires,omitzero"`
}

func (r *totpRecord) clone() *totpRecord {
	if r == nil {
		return nil
	}
	c := *r
	c.Secret = bytes.Clone(r.Secret)
	return &c
}

// Enrolment is what a person needs to set up an authenticator. It is secret, and
// shown once.
type Enrolment struct {
	Secret string // base32, for typing
	URL    string // otpauth://…
	QR     []byte // a PNG of the URL
}

// BeginTOTP makes a secret for an authenticator. It takes effect once ConfirmTOTP
// has seen a code of it, within 15 minutes; until then a login needs none. An
// enrolment that was begun before is void. Returns store.ErrNotFound or
// ErrSecondFactorOn.
func (a *Accounts) BeginTOTP(ctx context.Context, name string) (Enrolment, error) {
	name, ok := canonicalName(name)
	if !ok {
		return Enrolment{}, store.ErrNotFound
	}
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: a.issuer, AccountName: name, Period: uint(step / time.Second),
		SecretSize: secretBytes, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil {
		return Enrolment{}, fmt.Errorf("make secret of a second factor: %w", err)
	}
	picture, err := key.Image(qrPixels, qrPixels)
	if err != nil {
		return Enrolment{}, fmt.Errorf("draw secret of a second factor: %w", err)
	}
	var qr bytes.Buffer
	if err := png.Encode(&qr, picture); err != nil {
		return Enrolment{}, fmt.Errorf("draw secret of a second factor: %w", err)
	}
	_, err = a.edit(ctx, name, 0, func(_ *shelved[accountRecord], rec *accountRecord) error {
		if rec.TOTP != nil {
			return ErrSecondFactorOn
		}
		rec.Pending = &totpRecord{Secret: a.sealer.seal(name, key.Secret()), Expires: a.storedNow().Add(enrolFor)}
		return nil
	})
	if err != nil {
		return Enrolment{}, err
	}
	return Enrolment{Secret: key.Secret(), URL: key.URL(), QR: qr.Bytes()}, nil
}

// ConfirmTOTP switches the second factor on, given a code of the enrolment, and
// returns ten recovery codes, which are shown once. Sessions go on. Returns
// store.ErrNotFound, ErrSecondFactorOn, ErrNoEnrolment, or ErrWrongCode.
func (a *Accounts) ConfirmTOTP(ctx context.Context, name, code string) (recovery []string, err error) {
	name, _ = canonicalName(name)
	recovery, hashes := newRecovery()
	_, err = a.edit(ctx, name, 0, func(_ *shelved[accountRecord], rec *accountRecord) error {
		if rec.TOTP != nil {
			return ErrSecondFactorOn
		}
		if rec.Pending == nil || !a.now().Before(rec.Pending.Expires) {
			return ErrNoEnrolment
		}
		at, err := a.stepOf(name, rec.Pending, code)
		if err != nil {
			return err
		}
		rec.TOTP, rec.Pending = &totpRecord{Secret: rec.Pending.Secret, LastStep: at}, nil
		rec.Recovery = hashes
		rec.touch(a.storedNow())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return recovery, nil
}

// DisableTOTP switches the second factor off, with its recovery codes, and ends
// the sessions of the account; if it is off, only an enrolment that was begun is
// void. Returns store.ErrNotFound.
func (a *Accounts) DisableTOTP(ctx context.Context, name string) error {
	_, err := a.edit(ctx, name, 0, func(_ *shelved[accountRecord], rec *accountRecord) error {
		switch {
		case rec.TOTP != nil:
			rec.endSessions(a.storedNow())
		case rec.Pending == nil:
			return errUnchanged
		}
		rec.TOTP, rec.Pending, rec.Recovery = nil, nil, nil
		return nil
	})
	return err
}

// NewRecoveryCodes makes ten recovery codes in place of those that are left, and
// returns them, to be shown once. Returns store.ErrNotFound or ErrSecondFactorOff.
func (a *Accounts) NewRecoveryCodes(ctx context.Context, name string) ([]string, error) {
	codes, hashes := newRecovery()
	_, err := a.edit(ctx, name, 0, func(_ *shelved[accountRecord], rec *accountRecord) error {
		if rec.TOTP == nil {
			return ErrSecondFactorOff
		}
		rec.Recovery = hashes
		rec.touch(a.storedNow())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// codeUse is a code that was found right, and still has to be spent.
type codeUse struct {
	step     int64  // of an authenticator, or 0
	recovery string // hash of a recovery code, or empty
}

// checkCode finds out what a code is. Returns ErrCodeNeeded if it is empty,
// ErrWrongCode, a *LockedError after too many of them, or ErrSealed.
func (a *Accounts) checkCode(ctx context.Context, rec accountRecord, code string) (codeUse, error) {
	if strings.TrimSpace(code) == "" {
		return codeUse{}, ErrCodeNeeded
	}
	if hash, ok := recoveryHash(code); ok {
		if slices.Contains(rec.Recovery, hash) {
			return codeUse{recovery: hash}, nil
		}
		return codeUse{}, ErrWrongCode
	}
	if err := a.guard.tryCodeEverywhere(ctx, rec.Name); err != nil {
		return codeUse{}, err
	}
	at, err := a.stepOf(rec.Name, rec.TOTP, code)
	return codeUse{step: at}, err
}

// spend makes a code one that was used. Returns ErrWrongCode if it has been
// meanwhile: of two logins with one code, one succeeds.
func (u codeUse) spend(rec *accountRecord) error {
	if u == (codeUse{}) {
		if rec.TOTP != nil { // switched on since the password was checked
			return ErrCodeNeeded
		}
		return nil
	}
	if rec.TOTP == nil {
		return ErrWrongCode
	}
	if u.recovery != "" {
		i := slices.Index(rec.Recovery, u.recovery)
		if i < 0 {
			return ErrWrongCode
		}
		rec.Recovery = slices.Delete(rec.Recovery, i, i+1)
		return nil
	}
	if u.step <= rec.TOTP.LastStep {
		return ErrWrongCode
	}
	rec.TOTP.LastStep = u.step
	return nil
}

// stepOf returns the latest step of which code is, of those that are taken now.
// Returns ErrWrongCode if it is of none, or ErrSealed.
func (a *Accounts) stepOf(name string, factor *totpRecord, code string) (int64, error) {
	secret, err := a.sealer.open(name, factor.Secret)
	if err != nil {
		return 0, err
	}
	code = withoutSpaces(code)
	found, now := int64(0), a.now()
	for skew := -skewSteps; skew <= skewSteps; skew++ {
		at := now.Add(time.Duration(skew) * step)
		want, err := totp.GenerateCodeCustom(secret, at, totp.ValidateOpts{
			Period: uint(step / time.Second), Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
		})
		if err != nil {
			return 0, ErrSealed // what is inside is no secret
		}
		if subtle.ConstantTimeCompare([]byte(code), []byte(want)) == 1 {
			found = at.Unix() / int64(step/time.Second)
		}
	}
	if found == 0 {
		return 0, ErrWrongCode
	}
	return found, nil
}

// withoutSpaces takes out the spaces that people type and apps show in a code.
func withoutSpaces(code string) string { return strings.Join(strings.Fields(code), "") }

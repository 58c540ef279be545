package account

import (
	"slices"
	"strings"
	"time"
)

// maxNameBytes is how long the name of an account or a token may be.
const maxNameBytes = 64

// Account is what may be shown of an account: nothing in it is secret.
type Account struct {
	// Name is in lower case.
	Name     string `json:"name"`
	Role     Role   `json:"role"`
	Disabled bool   `json:"disabled"`
	// SecondFactor says that a login needs a code beside the password.
	SecondFactor bool `json:"secondFactor"`
	// RecoveryCodes is how many of them are left.
	RecoveryCodes int       `json:"recoveryCodes"`
	CreatedAt     time.Time `json:"createdAt"`
	// UpdatedAt is when an administrator or the person last changed something.
	UpdatedAt time.Time `json:"updatedAt"`
	LastLogin time.Time `json:"lastLogin,omitzero"`
	// Generation is that of the sessions which count: those made with another
	// have ended. It is below 2^53, so that a JSON number holds it.
	Generation uint64 `json:"-"`
	// Revision changes with everything shown here but LastLogin and
	// RecoveryCodes, so that a login does not get in the way of an edit. It is
	// below 2^53.
	Revision uint64 `json:"revision"`
}

// accountRecord is the body of an account's document.
type accountRecord struct {
	Name     string `json:"name"`
	Role     Role   `json:"role"`
	Disabled bool   `json:"disabled,omitzero"`
	// Password is an argon2id hash, see password.go.
	Password string `json:"password"`
	// TOTP is the second factor in force, Pending one that is being enrolled.
	TOTP    *totpRecord `json:"totp,omitzero"`
	Pending *totpRecord `json:"pending,omitzero"`
	// Recovery are the hashes of the codes that are left.
	Recovery   []string  `json:"recovery,omitempty"`
	Generation uint64    `json:"generation"`
	Revision   uint64    `json:"revision"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
	LastLogin  time.Time `json:"lastLogin,omitzero"`
}

func (r accountRecord) clone() accountRecord {
	r.TOTP, r.Pending = r.TOTP.clone(), r.Pending.clone()
	r.Recovery = slices.Clone(r.Recovery)
	return r
}

func (r accountRecord) key() string { return "" }

func (r accountRecord) account() Account {
	return Account{
		Name: r.Name, Role: r.Role, Disabled: r.Disabled,
		SecondFactor: r.TOTP != nil, RecoveryCodes: len(r.Recovery),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, LastLogin: r.LastLogin,
		Generation: r.Generation, Revision: r.Revision,
	}
}

// touch marks a change by a person.
func (r *accountRecord) touch(now time.Time) {
	r.Revision++
	r.UpdatedAt = now
}

// endSessions makes all sessions of the account end.
func (r *accountRecord) endSessions(now time.Time) {
	r.Generation++
	r.touch(now)
}

// canonicalName returns a name of an account or a token as it is kept, in lower
// case, and reports whether it can be one. ASCII only: names that look alike
// must not be different ones.
func canonicalName(name string) (string, bool) {
	if name == "" || len(name) > maxNameBytes {
		return "", false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("._-@", c) >= 0:
		default:
			return "", false
		}
	}
	return strings.ToLower(name), true
}

// newName is canonicalName for names that are to be given. Returns a *FieldError.
func newName(name string) (string, error) {
	if name, ok := canonicalName(name); ok {
		return name, nil
	}
	return "", &FieldError{Field: "name", Fault: "want 1 to 64 of the letters a to z, digits and . _ - @"}
}

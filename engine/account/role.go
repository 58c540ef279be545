package account

import "fmt"

// Role is what an account or a token may do. The zero Role may do nothing.
type Role string

// The roles, each of which may do what those before it may.
const (
	Viewer   Role = "viewer"   // reads
	Operator Role = "operator" // changes bindings
	Admin    Role = "admin"    // changes settings, accounts and tokens
)

// ParseRole reads a role. Returns a *FieldError if it is none.
func ParseRole(s string) (Role, error) {
	if r := Role(s); r.rank() > 0 {
		return r, nil
	}
	return "", &FieldError{Field: "role", Fault: fmt.Sprintf("want %q, %q or %q", Viewer, Operator, Admin)}
}

// Allows reports whether r may do what needs the role needed. What is no role
// allows nothing and is allowed by nothing.
func (r Role) Allows(needed Role) bool {
	return needed.rank() > 0 && r.rank() >= needed.rank()
}

func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Operator:
		return 2
	case Admin:
		return 3
	default:
		return 0
	}
}

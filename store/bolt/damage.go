package bolt

import (
	"fmt"
	"runtime/debug"

	"github.com/key-ip-sentinel/sentinel/store"
)

// recoverDamage is called as defer recoverDamage(&err)(): what bbolt meets in a
// damaged page, it answers with a panic, and what the kernel cannot read of a
// mapped file, with a fault. Both become an error that wraps
// store.ErrDamaged, instead of the end of the process.
func recoverDamage(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			*err = damaged("%v", p)
		}
	}
}

// damaged is the error for what cannot be made sense of.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", store.ErrDamaged, fmt.Sprintf(format, args...))
}

//go:build unix && !aix && !solaris

package bolt

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const lockRetry = 20 * time.Millisecond

// lock takes the lock that bbolt takes too, which it then finds held by the
// very same open file.
func lock(f *os.File, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return os.NewSyscallError("flock", err)
		case time.Now().After(deadline):
			return store.ErrLocked
		}
		<-time.After(lockRetry)
	}
}

func unlock(f *os.File) error { return flock(f, syscall.LOCK_UN) }

func flock(f *os.File, how int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var flockErr error
	if err := conn.Control(func(fd uintptr) { flockErr = syscall.Flock(int(fd), how) }); err != nil { // #nosec G115 -- a descriptor fits
		return err
	}
	return flockErr
}

// syncDir makes the entries of a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the data directory, which the operator chose
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

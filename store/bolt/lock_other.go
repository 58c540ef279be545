//go:build !unix || aix || solaris

package bolt

import (
	"os"
	"time"
)

// On these systems only bbolt's own lock guards the file.
func lock(*os.File, time.Duration) error { return nil }

func unlock(*os.File) error { return nil }

func syncDir(string) error { return nil }

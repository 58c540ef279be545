//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// ownAs gives a file to the owner of a directory, if this is root and that is
// somebody else: a server that runs as its own user must be able to open what
// root has put there.
func ownAs(dir, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return nil
	}
	if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
		return fmt.Errorf("give %s to the owner of %s: %w", path, dir, err)
	}
	return nil
}

//go:build !(linux || darwin || freebsd)

package main

import "errors"

// freeBytes returns errors.ErrUnsupported.
func freeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }

//go:build unix && !linux

package testserver

import "syscall"

func endOrphan(*syscall.SysProcAttr, syscall.Signal) {}

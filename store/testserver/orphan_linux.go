package testserver

import "syscall"

// endOrphan has the kernel end a process when a test was killed and cannot.
func endOrphan(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }

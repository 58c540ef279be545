package redistest

import "syscall"

// dieWithParent has the kernel end a process when a test was killed and cannot.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

package bolt

import (
	"bytes"
	"os"
	"strconv"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	// trimReads is after how many reads the resident part of the file is looked
	// at, as after each commit: the kernel maps 64 KiB around each page that is
	// read.
	trimReads = 512
	// trimAbove is how much of mapped files may stay resident, the program's
	// own text among it.
	trimAbove = 64 << 20
)

// noteRead counts a read of one binding, and trims now and then. No transaction
// of the caller may be open.
func (s *Store) noteRead() {
	if s.reads.Add(1)%trimReads == 0 {
		s.trimNow()
	}
}

// trimNow keeps the resident memory from growing to the size of the file: pages
// that were read stay mapped, as long as nobody else wants the memory, and count
// as the program's own. They are given back; what is read again is still in the
// page cache, and costs a minor fault.
func (s *Store) trimNow() {
	if residentFileBytes() > trimAbove {
		s.releasePages()
	}
}

// releasePages unmaps the pages of the file that are resident. The read
// transaction keeps the mapping where it is meanwhile.
func (s *Store) releasePages() {
	_, _ = s.viewOnce(func(tx *bbolt.Tx, _ *file) error {
		info := tx.DB().Info()
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, info.Data, uintptr(tx.Size()), unix.MADV_DONTNEED) //nolint:gosec // G115: a size is not negative
		if errno != 0 {
			s.opts.Logger.Debug("resident pages of the store cannot be given back", "error", errno)
		}
		return nil
	}) // a store that is closed has no pages to give back
}

// residentFileBytes returns how much of mapped files is resident in this
// process, or 0 if that cannot be told.
func residentFileBytes() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(statm) // proc(5): size resident shared …, in pages
	if len(fields) < 3 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

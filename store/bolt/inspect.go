package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"

	"github.com/key-ip-sentinel/sentinel/store"
)

// The layout of bbolt's pages, as far as it must be known to judge a file before
// bbolt maps it. All integers in it have the byte order of the machine.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeaderBytes = 16 // ID (8), flags (2), count (2), overflow (4)
	metaBytes       = 64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	freshPages = 4 // of a database without a transaction
)

// fileState is what a file looks like from outside.
type fileState struct {
	unborn  bool // empty, or its creation was cut short
	blank   bool // a whole database in which nothing was ever stored
	oneMeta bool // one of its two meta pages is not valid
}

// meta is the content of a meta page.
type meta struct {
	pageSize             uint32
	root, freelist, hwm  uint64 // page IDs; hwm is the first one never used
	txid                 uint64
	hasMagic, isComplete bool
}

// inspect tells whether bbolt may be let at a file. It reads the meta pages and
// the heads of the pages that bbolt.Open goes to, and compares the file's size
// with what it should be: a mapping that is longer than its file is deadly.
func inspect(f *os.File) (fileState, error) {
	info, err := f.Stat()
	if err != nil {
		return fileState{}, err
	}
	if !info.Mode().IsRegular() {
		return fileState{}, fmt.Errorf("%w: not a regular file", store.ErrForeign)
	}
	size := info.Size()
	if unborn, err := isUnborn(f, size); unborn || err != nil {
		return fileState{unborn: unborn}, err
	}
	m, state, err := currentMeta(f, size)
	if err != nil {
		return fileState{}, err
	}
	if m.hwm < freshPages || m.hwm > uint64(size)/uint64(m.pageSize) { // #nosec G115 -- sizes are not negative
		return fileState{}, fmt.Errorf("%w: it has %d bytes of %d", store.ErrDamaged, size, m.hwm*uint64(m.pageSize))
	}
	if m.freelist == math.MaxUint64 {
		// bbolt would write one at once, into what is not Sentinel's.
		return fileState{}, fmt.Errorf("%w: a database of another program", store.ErrForeign)
	}
	if err := checkPage(f, m, m.root, flagLeaf, flagBranch); err != nil {
		return fileState{}, err
	}
	if err := checkPage(f, m, m.freelist, flagFreelist, flagFreelist); err != nil {
		return fileState{}, err
	}
	state.blank = m.txid <= 1
	return state, nil
}

// isUnborn reports whether a file is empty or what a crash leaves of the
// creation of a database: some blocks of it, and zeros for the others.
func isUnborn(r io.ReaderAt, size int64) (bool, error) {
	if size > freshPages*pageSize {
		return false, nil
	}
	got := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), got); err != nil {
		return false, err
	}
	const block = 512
	for want := freshImage(); len(got) > 0; {
		n := min(block, len(got))
		if !bytes.Equal(got[:n], want[:n]) && !bytes.Equal(got[:n], make([]byte, n)) {
			return false, nil
		}
		got, want = got[n:], want[n:]
	}
	return true, nil
}

// freshImage is what bbolt writes into a new file.
func freshImage() []byte {
	img := make([]byte, freshPages*pageSize)
	ne := binary.NativeEndian
	for id := range uint64(freshPages) {
		page := img[id*pageSize:]
		ne.PutUint64(page, id)
		ne.PutUint16(page[8:], [freshPages]uint16{flagMeta, flagMeta, flagFreelist, flagLeaf}[id])
		if id > 1 {
			continue
		}
		m := page[pageHeaderBytes:]
		ne.PutUint32(m, boltMagic)
		ne.PutUint32(m[4:], boltVersion)
		ne.PutUint32(m[8:], pageSize)
		ne.PutUint64(m[16:], 3)          // root bucket
		ne.PutUint64(m[32:], 2)          // freelist
		ne.PutUint64(m[40:], freshPages) // first page never used
		ne.PutUint64(m[48:], id)         // transaction
		ne.PutUint64(m[56:], metaSum(m))
	}
	return img
}

// currentMeta returns the valid meta page of the latest transaction.
func currentMeta(f *os.File, size int64) (meta, fileState, error) {
	first := readMeta(f, 0)
	second := findSecondMeta(f, first, size)
	switch {
	case first.isComplete && second.isComplete:
		if second.txid > first.txid {
			return second, fileState{}, nil
		}
		return first, fileState{}, nil
	case first.isComplete:
		return first, fileState{oneMeta: true}, nil
	case second.isComplete:
		return second, fileState{oneMeta: true}, nil
	case first.hasMagic || second.hasMagic || hasBoltPages(f, size):
		return meta{}, fileState{}, fmt.Errorf("%w: both meta pages are invalid", store.ErrDamaged)
	}
	return meta{}, fileState{}, store.ErrForeign
}

// findSecondMeta returns the meta page behind the first one, whose size is not
// known if the first one is not valid.
func findSecondMeta(r io.ReaderAt, first meta, size int64) meta {
	if first.isComplete {
		return readMeta(r, int64(first.pageSize))
	}
	var found meta
	for at := int64(1 << 10); at <= 1<<24 && at < size; at <<= 1 {
		switch m := readMeta(r, at); {
		case m.isComplete && int64(m.pageSize) == at:
			return m
		case m.hasMagic:
			found.hasMagic = true
		}
	}
	return found
}

// readMeta reads what may be a meta page.
func readMeta(r io.ReaderAt, at int64) meta {
	buf := make([]byte, metaBytes)
	if _, err := r.ReadAt(buf, at+pageHeaderBytes); err != nil {
		return meta{}
	}
	ne := binary.NativeEndian
	m := meta{
		pageSize: ne.Uint32(buf[8:]),
		root:     ne.Uint64(buf[16:]),
		freelist: ne.Uint64(buf[32:]),
		hwm:      ne.Uint64(buf[40:]),
		txid:     ne.Uint64(buf[48:]),
		hasMagic: ne.Uint32(buf) == boltMagic,
	}
	m.isComplete = m.hasMagic && ne.Uint32(buf[4:]) == boltVersion && m.pageSize >= 1<<10 && m.pageSize <= 1<<24 &&
		ne.Uint64(buf[56:]) == metaSum(buf)
	return m
}

func metaSum(m []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(m[:56]) // never fails
	return h.Sum64()
}

// hasBoltPages reports whether there are pages of bbolt behind the meta pages:
// each begins with its own number and kind.
func hasBoltPages(r io.ReaderAt, size int64) bool {
	const looked = 64
	for id := uint64(2); id < looked && int64(id+1)*pageSize <= size; id++ { // #nosec G115 -- small
		head, err := readHead(r, id, pageSize)
		if err == nil && head.id == id && (head.flags == flagBranch || head.flags == flagLeaf || head.flags == flagFreelist) {
			return true
		}
	}
	return false
}

type pageHead struct {
	id       uint64
	flags    uint16
	count    uint64 // of a freelist, the whole count
	overflow uint32
}

func readHead(r io.ReaderAt, id uint64, size uint32) (pageHead, error) {
	var buf [pageHeaderBytes + 8]byte
	if _, err := r.ReadAt(buf[:], int64(id)*int64(size)); err != nil { // #nosec G115 -- callers have checked the ID
		return pageHead{}, err
	}
	ne := binary.NativeEndian
	h := pageHead{id: ne.Uint64(buf[:]), flags: ne.Uint16(buf[8:]), count: uint64(ne.Uint16(buf[10:])), overflow: ne.Uint32(buf[12:])}
	if h.flags == flagFreelist && h.count == math.MaxUint16 {
		h.count = ne.Uint64(buf[16:]) + 1 // it has the count as a further element
	}
	return h, nil
}

// checkPage makes sure that a page that bbolt.Open reads is one of two kinds,
// and that a freelist lies within the file.
func checkPage(r io.ReaderAt, m meta, id uint64, kind, orKind uint16) error {
	if id < 2 || id >= m.hwm {
		return fmt.Errorf("%w: page %d of %d is referred to", store.ErrDamaged, id, m.hwm)
	}
	head, err := readHead(r, id, m.pageSize)
	if err != nil {
		return err
	}
	if head.id != id || head.flags != kind && head.flags != orKind {
		return fmt.Errorf("%w: page %d is not what it should be", store.ErrDamaged, id)
	}
	if uint64(head.overflow) >= m.hwm-id {
		return fmt.Errorf("%w: page %d is longer than the file", store.ErrDamaged, id)
	}
	room := (uint64(head.overflow)+1)*uint64(m.pageSize) - pageHeaderBytes
	if kind == flagFreelist && head.count > room/8 {
		return fmt.Errorf("%w: freelist of %d pages", store.ErrDamaged, head.count)
	}
	return nil
}

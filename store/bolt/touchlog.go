package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// The usage of many keys is not written where it belongs at once: during a flood, each
// of them would cost a page of its own. It is appended to a log, durably like all else,
// and settled from there: a range of hashes at a time, so that many keys share a page,
// and what a key has gathered meanwhile is added together.
//
// Whoever reads usage, or moves or removes it, has the log settled first. So what is
// logged shows nowhere but in the file, unless the disk does not take what is settled, or
// not in time: a query of the console then tells what it can.
//
// The bucket is made when it is needed: first byte of the hashes (1), sequence (8) ->
// time in ms that the touches count from, and touches. A touch is the hash, time, hits,
// refusals, last address, number of other addresses, these with their hits, and
// hits elsewhere. An address has its length before it. Numbers are varints, times
// signed ones. Closing the store leaves nothing there, so that a program that does not
// know of it may open the file.
const bucketTouches = "touches"

const (
	logRanges   = 256             // by the first byte of the hash
	logFrom     = 256             // so many touches in a batch are logged; fewer, where nothing waits, are not worth it
	logLimit    = 256 << 10       // touches that may wait: some 16 MB; each page it leaves free makes every commit longer
	settleEvery = time.Minute     // for how long one may, while more usage is written
	settleWait  = 2 * time.Second // for how long a query waits until all are settled: twice as long as that takes
	logKeyBytes = 1 + 8

	mostTouchBytes = 48 // what most touches take, which are of one IPv4 address
)

// touchLog is what is known of the log without reading it.
type touchLog struct {
	waiting [logRanges]atomic.Int64 // touches
	total   atomic.Int64

	from, limit int           // logFrom and logLimit, but for tests
	wait        time.Duration // settleWait, but for tests

	// Of the committer:
	room   []store.Touch // to settle in
	next   byte          // whose turn it is to be settled
	turned time.Time     // since when next has waited for it
}

func (l *touchLog) init() { l.from, l.limit, l.wait = logFrom, logLimit, settleWait }

// load counts what a file has in its log.
func (l *touchLog) load(f *file) error {
	var waiting [logRanges]int64
	err := f.read(func(tx *bbolt.Tx) error {
		log := tx.Bucket([]byte(bucketTouches))
		if log == nil {
			return nil
		}
		var touches []store.Touch
		return log.ForEach(func(k, v []byte) error {
			if len(k) == logKeyBytes {
				touches = decodeTouches(v, touches[:0])
				waiting[k[0]] += int64(max(1, len(touches))) // or a damaged one would stay for ever
			}
			return nil
		})
	})
	l.total.Store(0)
	for r, n := range waiting {
		l.waiting[r].Store(n)
		l.total.Add(n)
	}
	return err
}

// isToLog reports whether a batch of so many touches is to be logged. When settling has
// failed for long, it is not.
func (w *writeTx) isToLog(touches int) bool {
	waiting := int(w.waiting())
	return touches > 0 && (touches >= w.log.from || waiting > 0) && waiting < 2*w.log.limit
}

// logged is what a transaction has added to the log and taken from it.
type logged [logRanges]int64

// add notes what a transaction has done, once it is durable.
func (l *touchLog) add(d *logged) {
	if d == nil {
		return
	}
	for r, n := range d {
		if n != 0 {
			l.waiting[r].Add(n)
			l.total.Add(n)
		}
	}
}

// waiting returns how many touches the transaction sees in the log.
func (w *writeTx) waiting() int64 {
	n := w.log.total.Load()
	if w.logged != nil {
		for _, d := range w.logged {
			n += d
		}
	}
	return n
}

// waitingIn returns how many of them are of a range.
func (w *writeTx) waitingIn(r byte) int64 {
	n := w.log.waiting[r].Load()
	if w.logged != nil {
		n += w.logged[r]
	}
	return n
}

func (w *writeTx) noteLogged(r byte, n int64) {
	if w.logged == nil {
		w.logged = new(logged)
	}
	w.logged[r] += n
}

// logTouches appends touches, which are in the order of their hashes, to the log, but
// those of keys without a binding.
func (w *writeTx) logTouches(touches []store.Touch) error {
	log, err := w.tx.CreateBucketIfNotExists([]byte(bucketTouches))
	if err != nil {
		return err
	}
	w.changed = true
	if w.waiting() == 0 {
		w.log.turned = time.Now()
	}
	usage, bindings := w.bucket(bucketUsage).Cursor(), w.bucket(bucketBindings).Cursor()
	isBound := func(hash []byte) bool { // usage goes with its binding
		if k, _ := usage.Seek(hash); bytes.Equal(k, hash) {
			return true
		}
		k, _ := bindings.Seek(hash)
		return bytes.Equal(k, hash)
	}
	for i := 0; i < len(touches); {
		r, n := touches[i].Hash[0], int64(0)
		since := touches[i].LastUsed.UnixMilli()
		end := i + 1
		for end < len(touches) && touches[end].Hash[0] == r {
			end++
		}
		value := binary.AppendVarint(make([]byte, 0, (end-i+1)*mostTouchBytes), since)
		for ; i < end; i++ {
			store.GiveWay(i)
			if isBound(touches[i].Hash[:]) {
				value = appendTouch(value, &touches[i], since)
				n++
			}
		}
		if n == 0 {
			continue
		}
		sequence, err := log.NextSequence()
		if err == nil {
			err = log.Put(be.AppendUint64([]byte{r}, sequence), value)
		}
		if err != nil {
			return err
		}
		w.noteLogged(r, n)
	}
	return nil
}

func appendTouch(out []byte, t *store.Touch, since int64) []byte {
	out = append(out, t.Hash[:]...)
	out = binary.AppendVarint(out, t.LastUsed.UnixMilli()-since)
	out = binary.AppendUvarint(out, t.Hits)
	out = binary.AppendUvarint(out, t.Refused)
	out = appendAddr(out, t.LastIP)
	out = binary.AppendUvarint(out, uint64(len(t.Addresses)))
	for _, a := range t.Addresses {
		out = appendAddr(out, a.IP)
		out = binary.AppendUvarint(out, a.Hits)
	}
	return binary.AppendUvarint(out, t.Elsewhere)
}

// decodeTouches appends the touches of a record, up to where it is damaged.
func decodeTouches(value []byte, list []store.Touch) []store.Touch {
	r := varints{rest: value}
	since := r.int()
	for len(r.rest) > 0 {
		var t store.Touch
		copy(t.Hash[:], r.bytes(uint64(len(t.Hash))))
		t.LastUsed = time.UnixMilli(since + r.int()).UTC()
		t.Hits, t.Refused = r.uint(), r.uint()
		t.LastIP = r.addr()
		for n := r.uint(); n > 0 && !r.bad; n-- {
			t.Addresses = append(t.Addresses, store.AddressHits{IP: r.addr(), Hits: r.uint()})
		}
		t.Elsewhere = r.uint()
		if r.bad {
			break
		}
		list = append(list, t)
	}
	return list
}

func (r *varints) addr() netip.Addr {
	ip, err := parseAddr(r.bytes(r.uint()))
	r.bad = r.bad || err != nil
	return ip
}

// settle adds what is logged of a range to the usage of its keys, and returns how many
// touches that were.
func (w *writeTx) settle(r byte) (n int64, err error) {
	n = w.waitingIn(r)
	log := w.tx.Bucket([]byte(bucketTouches))
	if n == 0 || log == nil {
		return 0, nil
	}
	var keys [][]byte
	touches := slices.Grow(w.log.room, int(n))
	c := log.Cursor()
	for k, v := c.Seek([]byte{r}); len(k) > 0 && k[0] == r; k, v = c.Next() {
		keys = append(keys, bytes.Clone(k))
		touches = decodeTouches(v, touches)
	}
	w.log.room = touches[:0]
	store.SortTouches(touches)
	for i, from := 0, 0; i < len(touches); i++ {
		store.GiveWay(i)
		if i+1 < len(touches) && touches[i+1].Hash == touches[from].Hash {
			continue
		}
		if err := w.addTouches(touches[from : i+1]); err != nil {
			return 0, err
		}
		from = i + 1
	}
	for _, k := range keys {
		if err := w.remove(bucketTouches, k); err != nil {
			return 0, err
		}
	}
	w.noteLogged(r, -n)
	return n, nil
}

// settleNext settles ranges in their turn, those that have waited for long, and while too
// much is waiting, until it has settled about store.UsageChunk touches. It reports whether
// there are more.
func (w *writeTx) settleNext(now time.Time, isWanted func(waiting int64) bool) (more bool, err error) {
	l := w.log
	const turn = settleEvery / logRanges
	if now.Sub(l.turned) > settleEvery {
		l.turned = now.Add(-settleEvery)
	}
	waiting := w.waiting()
	for settled := int64(0); settled < store.UsageChunk; {
		isDue := now.Sub(l.turned) >= turn
		if waiting == 0 || !isDue && !isWanted(waiting) {
			return false, nil
		}
		n, err := w.settle(l.next)
		if err != nil {
			return false, err
		}
		l.next++ // the last one is followed by the first
		settled += n
		waiting -= n
		if isDue {
			l.turned = l.turned.Add(turn)
		}
	}
	return true, nil
}

// settleWhile settles what has waited for long, and more while isWanted says so. If it
// fails, what is in the log stays there, and the next one goes on.
func (s *Store) settleWhile(ctx context.Context, isWanted func(waiting int64) bool) error {
	for more := s.log.total.Load() > 0; more; {
		err := s.write(ctx, func(w *writeTx) (err error) {
			more, err = w.settleNext(time.Now(), isWanted)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settleDue settles what has waited for long, and what is too much.
func (s *Store) settleDue(ctx context.Context) {
	_ = s.settleWhile(ctx, func(waiting int64) bool { return waiting > int64(s.log.limit) }) // or next time
}

func (s *Store) settleAll(ctx context.Context) error {
	return s.settleWhile(ctx, func(int64) bool { return true })
}

// settleForQuery settles all before a query of many keys, if that can be written in time.
func (s *Store) settleForQuery(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.log.wait)
	defer cancel()
	_ = s.settleAll(ctx)
}

// settleForUsage settles what is logged of a key, if that can be written.
func (s *Store) settleForUsage(ctx context.Context, hash store.KeyHash) {
	if s.log.waiting[hash[0]].Load() > 0 {
		ctx, cancel := context.WithTimeout(ctx, s.log.wait)
		defer cancel()
		_ = s.write(ctx, func(w *writeTx) error { return w.settleKey(hash) })
	}
}

// settleKey settles what is logged of a key.
func (w *writeTx) settleKey(hash store.KeyHash) error {
	_, err := w.settle(hash[0])
	return err
}

package recorder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// TestEveryRecordIsAccountedFor is the invariant: what is offered to a stream is
// delivered, lost, refused or still in a lane, whatever happens. Producers of
// all kinds come and go, claims are left open, forgotten, given back and
// committed too late, and the disk is slow, full or broken. Three books are
// compared: what the callers were told, Stats, and what a reader of the archive
// finds.
func TestEveryRecordIsAccountedFor(t *testing.T) {
	worlds := map[string]func(t *testing.T, rng *rand.Rand) *world{"fake": fakeWorld, "journal": journalWorld}
	for name, open := range worlds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed, again := rounds(t)
			var w *world
			var all totals
			defer func() {
				if t.Failed() {
					t.Logf("LOGBUF_SOAK_SEED=%d: %s", seed, w.what)
				}
			}()
			n := 0
			for ; (again(n) || n >= 15 && n < 100 && !all.everything()) && !t.Failed(); n++ {
				if n > 0 {
					seed++
				}
				rng := rand.New(rand.NewPCG(seed, 0))
				w = open(t, rng)
				w.run(t, rng)
				w.check(t)
				all.add(w.rec.Stats())
			}
			t.Logf("%d rounds: %+v", n, all)
			if n >= 15 && !all.everything() {
				t.Error("not everything has happened; the test proves less than it says")
			}
		})
	}
}

// totals is what has happened in all rounds.
type totals struct {
	records, refused, abandoned uint64
	lost                        [reasons]uint64
}

func (a *totals) add(s Stats) {
	for _, st := range s.Streams {
		a.records += st.Records
		a.refused += st.Refused
		a.abandoned += st.Abandoned
		for _, c := range st.ByReason {
			a.lost[c.Reason] += c.Records
		}
	}
}

// everything says whether records met every fate that there is; damage is for
// salvage alone.
func (a *totals) everything() bool {
	for _, n := range a.lost[journal.LossOverload:journal.LossDamage] {
		if n == 0 {
			return false
		}
	}
	return a.records > 0 && a.refused > 0 && a.abandoned > 0
}

// rounds says where seeds begin and whether round n is to be run: a fixed number
// of rounds, or as many as fit into LOGBUF_SOAK.
func rounds(t *testing.T) (seed uint64, again func(n int) bool) {
	seed = 1
	if s := os.Getenv("LOGBUF_SOAK_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal("LOGBUF_SOAK_SEED:", err)
		}
		return seed, func(n int) bool { return n == 0 }
	}
	s := os.Getenv("LOGBUF_SOAK")
	if s == "" {
		return seed, func(n int) bool { return n < scaled(15) }
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal("LOGBUF_SOAK:", err)
	}
	seed = uint64(time.Now().UnixNano())
	t.Logf("seeds from %d on, for %v", seed, d)
	begin := time.Now()
	return seed, func(int) bool { return time.Since(begin) < d }
}

// options are those of a world's recorder: whatever is rare otherwise is frequent.
func options(rng *rand.Rand) *Options {
	return &Options{
		StallLimit: 500 * time.Microsecond, Stage: rng.IntN(2) == 0,
		Linger:  []time.Duration{-1, 100 * time.Microsecond, DefaultLinger}[rng.IntN(3)],
		Journal: journal.Options{MaxBlock: 8192, SegmentSize: 64 << 10, Sync: journal.Sync(rng.IntN(3))},
	}
}

// trouble is what a disk does to an operation.
func trouble(rng *rand.Rand) (ask func(n int) (late time.Duration, err error), what string) {
	failAt, full := -1, 0
	if rng.IntN(4) == 0 {
		failAt = rng.IntN(400)
	}
	return func(n int) (time.Duration, error) {
		d := rng.IntN(100)
		switch {
		case failAt >= 0 && n >= failAt:
			return 0, syscall.EIO
		case full > 0:
			full--
			return 0, syscall.ENOSPC
		case d == 0:
			full = rng.IntN(4)
			return 0, syscall.ENOSPC
		case d < 10:
			return time.Duration(rng.IntN(1000)) * time.Microsecond, nil
		}
		return 0, nil
	}, fmt.Sprintf("fails at operation %d", failAt)
}

func fakeWorld(t *testing.T, rng *rand.Rand) *world {
	f := new(fakeArchive)
	disk := rand.New(rand.NewPCG(rng.Uint64(), 2))
	ask, what := trouble(disk)
	failed := false
	f.before = func(n int, _ []byte) (int, error) {
		late, err := ask(n)
		time.Sleep(late)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			return 0, errFull
		case err != nil && !failed:
			failed = true
			return disk.IntN(4), err
		}
		return 0, err
	}
	return &world{
		rec: startFake(t, f, options(rng)), what: what,
		read: func(*testing.T) ([]journal.Record, map[string]uint16) {
			ids := make(map[string]uint16)
			for i, name := range f.streams {
				ids[name] = uint16(i + 1)
			}
			return f.all(), ids
		},
	}
}

func journalWorld(t *testing.T, rng *rand.Rand) *world {
	ask, what := trouble(rand.New(rand.NewPCG(rng.Uint64(), 2)))
	fault, dir, o := vfs.NewFault(nil), t.TempDir(), options(rng)
	o.Journal.FS = fault
	w := &world{rec: mustOpen(t, dir, o), what: what}
	fault.SetHook(func(n int, op vfs.Op) vfs.Verdict {
		late, err := ask(n)
		if err == syscall.ENOSPC && op.Kind != vfs.OpWrite && op.Kind != vfs.OpCreate {
			err = nil // what takes no space succeeds
		}
		return vfs.Verdict{Err: err, Delay: late}
	})
	w.read = func(t *testing.T) ([]journal.Record, map[string]uint16) {
		fault.SetHook(nil)
		return readAll(t, dir)
	}
	return w
}

// world is a recorder with a disk, and what is done with it.
type world struct {
	rec     *Recorder
	what    string
	racing  bool                                                     // Close comes while workers are at work
	hurried bool                                                     // ...and does not wait for everything
	read    func(t *testing.T) ([]journal.Record, map[string]uint16) // what the archive has, and the streams' ids

	closing  atomic.Bool
	closeErr error
	workers  []*worker
}

// ledger is what a worker was told.
type ledger struct {
	offered, accepted uint64
	acceptedBytes     uint64
	lost              [reasons]LossCount // as far as the caller knows the reason
	full              uint64             // refused, under a policy that leaves the record to the caller
	ended             uint64             // refused, or lost at the end of a producer or the recorder, or as stalled: the caller is not told which
}

func (b *ledger) lose(reason journal.LossReason, records, bytes uint64) {
	l := &b.lost[reason]
	l.Reason, l.Records, l.Bytes = reason, l.Records+records, l.Bytes+bytes
	if records == 0 {
		l.Gaps++
	}
}

func (b *ledger) add(o *ledger) {
	b.offered += o.offered
	b.accepted += o.accepted
	b.acceptedBytes += o.acceptedBytes
	b.full += o.full
	b.ended += o.ended
	for i, l := range o.lost {
		s := &b.lost[i]
		s.Reason, s.Records, s.Bytes, s.Gaps = max(s.Reason, l.Reason), s.Records+l.Records, s.Bytes+l.Bytes, s.Gaps+l.Gaps
	}
}

// worker is a goroutine that offers records to a stream.
type worker struct {
	ledger
	t      *testing.T
	w      *world
	rng    *rand.Rand
	id     int
	stream string
	shared bool
	loose  bool                      // it commits claims of producers that are closed
	handle *atomic.Pointer[Producer] // one producer for several workers; nil: each has its own
	p      *Producer
	next   uint32        // number of its next record: its ordinal, if the stream is nobody else's
	shown  atomic.Uint64 // offered, for others to see
	buf    []byte
}

// exact says that the archive gives each record the number that it carries.
func (k *worker) exact() bool { return !k.shared && !k.loose }

func (w *world) run(t *testing.T, rng *rand.Rand) {
	add := func(stream string, shared, loose bool, handle *atomic.Pointer[Producer]) {
		w.workers = append(w.workers, &worker{
			t: t, w: w, rng: rand.New(rand.NewPCG(rng.Uint64(), 1)), id: len(w.workers),
			stream: stream, shared: shared, loose: loose, handle: handle,
		})
	}
	add("alone 1", false, false, nil)
	add("alone 2", false, false, nil)
	add("alone, late", false, true, nil)
	handle := new(atomic.Pointer[Producer])
	for range 3 {
		add("shared lane", true, true, handle)
		add("shared stream", true, true, nil)
	}
	w.racing = rng.IntN(3) == 0
	w.hurried = rng.IntN(4) == 0
	w.what += fmt.Sprintf(", racing %v, hurried %v", w.racing, w.hurried)
	steps := 200 + rng.IntN(200)
	var wg, watching sync.WaitGroup
	stop := make(chan struct{})
	watching.Go(func() { w.watch(t, stop) })
	defer func() {
		close(stop)
		watching.Wait()
	}()
	for phase := range 2 {
		for _, k := range w.workers {
			wg.Go(func() { k.work(steps) })
		}
		if phase == 1 && w.racing {
			for range rng.IntN(500) {
				runtime.Gosched()
			}
			w.close()
		}
		wg.Wait()
		if phase == 0 {
			w.checkRunning(t)
		}
	}
	w.close()
}

func (w *world) close() {
	if w.closing.Swap(true) {
		return
	}
	ctx := context.Background()
	if w.hurried {
		c, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		ctx = c
	}
	w.closeErr = w.rec.Close(ctx)
	if w.hurried && w.closeErr != nil && strings.Contains(w.closeErr.Error(), "not sealed") {
		w.closeErr = w.rec.Close(context.Background())
	}
}

// work does so many steps, or stops where the recorder does.
func (k *worker) work(steps int) {
	for range steps {
		if k.p == nil && !k.open() {
			return
		}
		if !k.step() {
			k.p = nil
		}
		k.shown.Store(k.offered)
		if k.rng.IntN(8) == 0 {
			runtime.Gosched()
		}
	}
}

// open makes a producer, or takes the one that others have made.
func (k *worker) open() bool {
	for {
		if k.handle != nil {
			if k.p = k.handle.Load(); k.p != nil {
				return true
			}
		}
		p, err := k.w.rec.Producer(k.stream, &ProducerOptions{
			LaneSize: 256 << k.rng.IntN(5), Overload: Overload(k.rng.IntN(3)), Shared: k.shared, Urgent: k.rng.IntN(3) == 0,
		})
		switch {
		case diskFull(err) && !k.w.closing.Load():
			time.Sleep(time.Millisecond)
		case err != nil:
			if !k.w.closing.Load() && k.w.rec.Stats().Err == nil {
				k.t.Errorf("Producer: %v", err)
			}
			return false
		case k.handle == nil || k.handle.CompareAndSwap(nil, p):
			k.p = p
			return true
		default:
			_ = p.Close() // another was faster
		}
	}
}

// step offers a record in some way, and returns whether the producer goes on.
func (k *worker) step() bool {
	size := k.rng.IntN(100)
	if k.rng.IntN(40) == 0 {
		size = k.p.MaxRecord() + 1 + k.rng.IntN(100)
	}
	switch op := k.rng.IntN(20); {
	case op < 10:
		k.offer(size)
		return k.told(k.write(size), size)
	case op < 15:
		return k.claim(size)
	case op == 15:
		n, bytes := uint64(k.rng.IntN(3)), uint64(k.rng.IntN(1000))
		k.p.Lose(n, bytes, journal.LossSource)
		k.lose(journal.LossSource, n, bytes)
		k.offered, k.next = k.offered+n, k.next+uint32(n)
	case op == 16 && k.rng.IntN(8) == 0:
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		_ = k.p.WaitDurable(ctx)
		cancel()
	case op == 17 && k.rng.IntN(8) == 0:
		k.leave()
		return false
	case op == 18 && k.rng.IntN(8) == 0:
		time.Sleep(time.Duration(k.rng.IntN(300)) * time.Microsecond)
	}
	return true
}

// leave closes the producer, with a claim open if the worker is a loose one.
func (k *worker) leave() {
	p := k.p
	if k.handle != nil && !k.handle.CompareAndSwap(p, nil) {
		return // somebody else does
	}
	if !k.loose || k.rng.IntN(2) == 0 {
		_ = p.Close()
		return
	}
	size := k.rng.IntN(50)
	c, err := k.tryClaim(size)
	_ = p.Close()
	if err != nil {
		k.told(err, size)
		return
	}
	if k.rng.IntN(2) == 0 {
		runtime.Gosched()
	}
	k.settled(c.Commit(), size)
}

func (k *worker) offer(size int) {
	k.offered++
	k.buf = k.buf[:0]
	if size >= 8 {
		k.buf = record(k.buf, k.id, int(k.next), size-8)
	} else {
		k.buf = append(k.buf, make([]byte, size)...)
	}
}

func (k *worker) write(size int) (err error) {
	if k.rng.IntN(2) == 0 {
		return k.p.WriteAt(int64(k.next), journal.KindData, 0, k.buf)
	}
	_, err = k.p.Write(k.buf)
	return err
}

// tryClaim claims in one of the ways there are and fills the claim.
func (k *worker) tryClaim(size int) (c Claim, err error) {
	k.offer(size)
	if k.rng.IntN(3) > 0 {
		c, err = k.p.TryClaimAt(int64(k.next), journal.KindData, 0, size)
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Microsecond)
		c, err = k.p.Claim(ctx, journal.KindData, 0, size)
		cancel()
	}
	if err == nil {
		copy(c.Bytes(), k.buf)
	}
	return c, err
}

// claim claims and commits, or does not.
func (k *worker) claim(size int) bool {
	c, err := k.tryClaim(size)
	if err != nil {
		return k.told(err, size)
	}
	if k.shared && k.rng.IntN(10) == 0 {
		time.Sleep(time.Duration(k.rng.IntN(3000)) * time.Microsecond) // it may be passed as stalled
	}
	switch end := k.rng.IntN(8); {
	case end == 0 || end == 1 && k.shared:
		c.Abort()
	case end == 1: // forgotten
	case end == 2 && size > 0:
		n := k.rng.IntN(size + 1)
		if n < 8 && k.exact() {
			n = size
		}
		return k.settled(c.CommitN(min(n, size)), n)
	default:
		return k.settled(c.Commit(), size)
	}
	k.offered--
	return true
}

// settled books a commit.
func (k *worker) settled(ok bool, size int) bool {
	if k.next++; !ok {
		k.ended++
		return true
	}
	k.accepted++
	k.acceptedBytes += uint64(size)
	return true
}

// told books what a call said about the record that it offered.
func (k *worker) told(err error, size int) (more bool) {
	drop := k.p.Overload() == OverloadDrop
	switch {
	case err == nil:
		return k.settled(true, size)
	case errors.Is(err, queue.ErrTooLarge):
		k.lose(journal.LossTooLarge, 1, uint64(size))
		k.next++
	case errors.Is(err, queue.ErrFull) && drop:
		k.lose(journal.LossOverload, 1, uint64(size))
		k.next++
	case errors.Is(err, queue.ErrFull), errors.Is(err, context.DeadlineExceeded):
		k.full++
	default: // closed, or failed
		if !k.w.closing.Load() && k.handle == nil && k.w.rec.Stats().Err == nil {
			k.t.Errorf("worker %d: %v", k.id, err)
		}
		k.ended++
		return false
	}
	return true
}

// books is the ledgers of a stream's workers together.
func (w *world) books(stream string) (sum ledger) {
	for _, k := range w.workers {
		if k.stream == stream {
			sum.add(&k.ledger)
		}
	}
	return sum
}

// watch takes snapshots all the time: none of them misses a record that was
// offered before it was taken.
func (w *world) watch(t *testing.T, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		offered := make(map[string]uint64)
		for _, k := range w.workers {
			offered[k.stream] += k.shown.Load()
		}
		for _, s := range w.rec.Stats().Streams {
			checkSums(t, s.ProducerStats)
			if n := s.Records + s.LagRecords + s.Lost + s.Refused; n < offered[s.Name] {
				t.Errorf("stream %s: %d records were offered, of which a snapshot has %d: %+v", s.Name, offered[s.Name], n, s)
				return
			}
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// checkRunning compares the callers' books with Stats while the archiver is at
// work and nobody offers anything. A snapshot may count a record twice, or not,
// that the archiver is just counting; then there is another.
func (w *world) checkRunning(t *testing.T) {
	for try := 0; ; try++ {
		bad := ""
		for _, s := range w.rec.Stats().Streams {
			checkSums(t, s.ProducerStats)
			if b := w.books(s.Name); b.offered != s.Records+s.LagRecords+s.Lost+s.Refused {
				bad = fmt.Sprintf("stream %s: told %+v, stats %+v", s.Name, b, s)
			}
		}
		switch {
		case bad == "":
			return
		case try == 10000:
			t.Error("running: ", bad)
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// check compares the three books at the end.
func (w *world) check(t *testing.T) {
	notWritten := make(map[string]StreamLoss)
	var lost *NotWrittenError
	if errors.As(w.closeErr, &lost) {
		for _, s := range lost.Streams {
			notWritten[s.Name] = s
		}
	}
	stats := w.rec.Stats()
	records, ids := w.read(t)
	for _, s := range stats.Streams {
		checkSums(t, s.ProducerStats)
		b, missing := w.books(s.Name), notWritten[s.Name]
		if b.offered != s.Records+s.Lost+s.Refused || s.LagRecords != 0 || s.LagBytes != 0 {
			t.Errorf("stream %s: told %+v, stats %+v", s.Name, b, s)
		}
		if b.accepted != s.Records+missing.Records || b.acceptedBytes != s.Bytes+missing.Bytes {
			t.Errorf("stream %s: told %+v, stats %+v, not written %+v", s.Name, b, s, missing)
		}
		by := [reasons]LossCount{}
		for _, c := range s.ByReason {
			by[c.Reason] = c
		}
		for _, reason := range []journal.LossReason{journal.LossOverload, journal.LossTooLarge, journal.LossSource} {
			if by[reason] != b.lost[reason] {
				t.Errorf("stream %s: told %+v, stats %+v", s.Name, b.lost[reason], by[reason])
			}
		}
		w.checkArchive(t, s, b, replay(t, records, ids[s.Name]))
	}
}

// checkArchive compares what a reader finds of a stream with the counters.
func (w *world) checkArchive(t *testing.T, s StreamStats, b ledger, got *replayed) {
	t.Helper()
	if uint64(len(got.data)) != s.Records {
		t.Errorf("stream %s: %d records in the archive, stats %+v", s.Name, len(got.data), s)
	}
	// What is lost behind the end of the archive, or where a broken disk makes it
	// end, it cannot say.
	complete := !w.racing && !errors.Is(w.closeErr, syscall.ENOSPC) && !errors.Is(w.closeErr, syscall.EIO)
	var archived [reasons]LossCount
	for _, c := range got.byReason() {
		archived[c.Reason] = c
	}
	for _, c := range s.ByReason {
		a := archived[c.Reason]
		all := a.Records == c.Records && a.Bytes == c.Bytes && (a.Gaps > 0) == (c.Gaps > 0)
		some := a.Records <= c.Records && a.Bytes <= c.Bytes
		if !some || !all && complete {
			t.Errorf("stream %s: the archive says %+v, stats %+v", s.Name, a, c)
		}
		archived[c.Reason] = LossCount{}
	}
	if archived != [reasons]LossCount{} {
		t.Errorf("stream %s: the archive says %+v, stats %+v", s.Name, archived, s.ByReason)
	}
	for _, k := range w.workers {
		if k.stream != s.Name || !k.exact() {
			continue
		}
		for i, rec := range got.data {
			if len(rec.Payload) < 8 {
				continue
			}
			if writer, number := parse(t, rec.Payload); writer != k.id || uint64(number) != got.ordinal[i] {
				t.Fatalf("stream %s: record %d of worker %d stands at ordinal %d", s.Name, number, writer, got.ordinal[i])
			}
		}
	}
}

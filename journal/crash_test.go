package journal

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// The proof that a crash takes nothing that was promised: a scripted run on a simulated disk is crashed after every operation, in many ways,
// and each state that the disk may then be in is checked, recovered, and crashed again during recovery. A failure prints the value of LOGBUF_CRASH
// that shows it alone: go test -v -run 'TestCrash' with it in the environment.

// crashName is what LOGBUF_CRASH holds: the test's name; operations done, model and seed of the crash; those of a second one, during recovery.
func crashName(test string, crashes ...vfs.Crash) string {
	for _, c := range crashes {
		test += fmt.Sprintf(",%d,%s,%#x", c.After, c.Model, c.Seed)
	}
	return test
}

// parseCrash is the inverse of crashName.
func parseCrash(t *testing.T, s string) (test string, crashes []vfs.Crash) {
	t.Helper()
	parts := strings.Split(s, ",")
	for p := parts[1:]; len(p) >= 3; p = p[3:] {
		after, err1 := strconv.Atoi(p[0])
		seed, err2 := strconv.ParseUint(p[2], 0, 64)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("LOGBUF_CRASH=%q: %v", s, err)
		}
		crashes = append(crashes, vfs.Crash{After: after, Model: vfs.Model(p[1]), Seed: seed})
	}
	if len(crashes) == 0 {
		t.Fatalf("LOGBUF_CRASH=%q: want test,operations,model,seed", s)
	}
	return parts[0], crashes
}

// crashRun is a run of a script.
type crashRun struct {
	t    *testing.T
	sim  *vfs.Sim
	w    *Writer
	opts Options

	failing  bool                                         // within untilFailure
	retry    bool                                         // an append that fails is tried once more
	light    bool                                         // a long run: less effort for each operation
	begin    int                                          // crashes before this operation are the business of another run
	gen      uint8                                        // of the records being written
	gens     []uint8                                      // by sequence: the generation that each record was written in
	promises []crashMark                                  // what was promised when
	trimmed  uint64                                       // records below this may be trimmed
	extra    func(k *crashCheck, img *vfs.Sim, after int) // another check of an image, before it is opened for writing
}

// crashMark says that after so many operations all records below seq were promised to be durable.
type crashMark struct {
	after int
	seq   uint64
}

func newCrashRun(t *testing.T, sim *vfs.Sim) *crashRun {
	return &crashRun{t: t, sim: sim, opts: Options{Sync: SyncNone, FS: sim, SegmentSize: minSegmentSize, MaxBlock: minMaxBlock}}
}

func (r *crashRun) open() {
	r.t.Helper()
	w, err := openStepped(memDir, &r.opts)
	r.must(err)
	r.w = w
	if uint64(len(r.gens)) < w.NextSeq() {
		r.t.Fatalf("recovered up to %d, only %d were ever written", w.NextSeq(), len(r.gens))
	}
	r.gens = r.gens[:w.NextSeq()]
	r.gen++
	r.promise()
}

// promise takes note of what the writer calls durable now.
func (r *crashRun) promise() {
	if d := r.w.DurableSeq(); len(r.promises) == 0 || r.promises[len(r.promises)-1].seq < d {
		r.promises = append(r.promises, crashMark{r.sim.Total(), d})
	}
}

// crashRecord is the record of a sequence, as a generation writes it.
func crashRecord(seq uint64, gen uint8) Record {
	n := int(seq*29%70) + 10
	if seq%11 == 7 {
		n += 900 // over sectors
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(int(seq)*7 + i + int(gen)*31)
	}
	le.PutUint64(b, seq)
	b[8] = gen
	return Record{Seq: seq, Time: timeOf(seq), Kind: KindData, Stream: 1, Payload: b}
}

// append writes n records in one block.
func (r *crashRun) append(n int) {
	r.t.Helper()
	var frames []byte
	for range n {
		frames = AppendFrame(frames, crashRecord(uint64(len(r.gens)), r.gen))
		r.gens = append(r.gens, r.gen)
	}
	_, err := r.w.AppendFrames(frames, n)
	if err != nil && r.retry {
		r.gens = r.gens[:r.w.NextSeq()]
		_, err = r.w.AppendFrames(frames, n)
		r.gens = append(r.gens, make([]uint8, n)...)
		for i := range n {
			r.gens[len(r.gens)-1-i] = r.gen
		}
	}
	r.must(err)
	r.promise()
}

func (r *crashRun) sync() {
	r.w.stepSync()
	r.promise()
}

// duringSync has f run in the middle of the next sync of a segment.
func (r *crashRun) duringSync(f func()) {
	r.sim.InSync(func(name string) {
		if strings.HasSuffix(name, segmentExt) {
			r.sim.InSync(nil)
			f()
		}
	})
}

// rotate begins a new segment, stepping whatever that has to wait for.
func (r *crashRun) rotate() {
	r.t.Helper()
	r.w.mu.Lock()
	next, err := r.w.takeNext(true)
	if err == nil {
		err = r.w.rotate(next)
	}
	if err == nil {
		err = r.w.publish()
	}
	r.w.mu.Unlock()
	r.must(err)
	r.promise()
}

// rotateIfReady begins a new segment if that needs no waiting: it may run in the middle of a sync.
func (r *crashRun) rotateIfReady() {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	next, err := r.w.takeNext(false)
	if err == nil && next != nil {
		if err = r.w.rotate(next); err == nil {
			err = r.w.publish()
		}
	}
	r.must(err)
}

func (r *crashRun) close() {
	r.t.Helper()
	r.must(r.w.Close())
	r.promise()
}

// die ends the writer as kill -9 does: nothing is written any more, the lock is free.
func (r *crashRun) die() {
	if err := r.w.unlock(); err != nil {
		r.t.Fatal(err)
	}
}

// stopRun is what ends a process of which a sync has failed.
type stopRun struct{}

// must ends the test when err is not nil; within failSync, the process.
func (r *crashRun) must(err error) {
	r.t.Helper()
	switch {
	case err != nil && r.failing:
		panic(stopRun{})
	case err != nil:
		r.t.Fatal(err)
	}
}

// failSync runs a process of which the n-th sync of a segment or of next.tmp fails. It ends with the first call that says so.
func (r *crashRun) failSync(n int, process func()) {
	r.sim.FailSync(func(name string) error {
		if n--; n == -1 && name != headName {
			r.begin = r.sim.Total()
			return syscall.EIO
		}
		return nil
	})
	r.untilFailure(process)
	r.sim.FailSync(nil)
}

// untilFailure runs a process up to the first call that fails, which kills it.
func (r *crashRun) untilFailure(process func()) {
	r.failing = true
	defer func() {
		if e := recover(); e != nil && e != any(stopRun{}) {
			panic(e)
		}
		r.failing = false
		if r.sim.Locked(memDir + "/" + lockName) {
			r.die()
		}
	}()
	process()
}

// crashScripts are the runs.
var crashScripts = []struct {
	name string
	run  func(r *crashRun)
}{
	{"open and close", func(r *crashRun) {
		r.open()
		r.close()
		r.open()
		r.append(1)
		r.close()
	}},
	{"append and sync", func(r *crashRun) {
		r.open()
		if _, err := r.w.DefineStream("one"); err != nil {
			r.t.Fatal(err)
		}
		r.append(2)
		r.append(8)
		r.sync()
		r.append(1)
		r.sync()
		r.append(3)
		r.append(3)
		r.close()
	}},
	{"rotate", func(r *crashRun) {
		r.open()
		for range 3 {
			r.append(3)
			r.sync()
			r.append(2)
			r.rotate()
			r.append(2)
			r.w.stepPrepare()
			r.sync()
		}
		r.append(1)
		r.close()
	}},
	{"rotate without a sync", func(r *crashRun) {
		r.open()
		for range 4 {
			r.append(2)
			r.append(1)
			r.rotate()
		}
		r.append(2)
		r.append(1)
		r.close()
	}},
	{"appends and rotations during syncs", func(r *crashRun) {
		r.open()
		r.w.stepPrepare()
		for range 3 {
			r.append(2)
			r.duringSync(func() { r.append(1) })
			r.sync()
			r.w.stepPrepare()
			r.duringSync(func() { r.append(2); r.rotateIfReady(); r.append(1) })
			r.sync()
			r.w.stepPrepare()
			r.duringSync(func() { r.append(1) })
			r.sync()
		}
		r.close()
	}},
	{"processes that die", func(r *crashRun) {
		r.open()
		r.append(2)
		r.die()
		r.open()
		r.append(1)
		r.sync()
		r.append(2)
		r.rotate()
		r.append(1)
		r.die()
		r.open()
		r.die()
		r.open()
		r.append(1)
		r.close()
	}},
}

// TestCrash crashes every script after every operation.
func TestCrash(t *testing.T) {
	for _, s := range crashScripts {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			crashScript(t, s.run)
		})
	}
}

// A process of which one sync fails ends. What it wrote since the last good sync can be read, as if it was there; the next process believes it,
// makes it durable, and a power cut does not take it any more.
func TestCrashAfterFailedSync(t *testing.T) {
	for _, n := range variants(10) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			crashScript(t, func(r *crashRun) {
				r.failSync(n, func() {
					r.open()
					r.append(2)
					r.sync()
					r.append(1)
					r.rotate()
					r.append(2)
					r.sync()
					r.close()
				})
				r.open()
				r.append(1)
				r.close()
			})
		})
	}
}

func crashScript(t *testing.T, run func(r *crashRun)) {
	r := newCrashRun(t, vfs.NewSim())
	run(r)
	c := &crasher{t: t, run: r, seen: make(map[uint64]uint64)}
	if s := os.Getenv("LOGBUF_CRASH"); s != "" {
		if test, crashes := parseCrash(t, s); test == t.Name() {
			c.replay(crashes)
		}
		return
	}
	c.all()
	t.Logf("%d operations, %d images, %d of them different, %d crashes of recovery", r.sim.Total(), c.images, c.checked, c.inner)
}

// crasher crashes a run.
type crasher struct {
	t    *testing.T
	run  *crashRun
	seen map[uint64]uint64 // what was promised in images that were checked, by hash

	images, checked, inner int
}

// variants returns the numbers below n, or some of them where time is short.
func variants(n int) (list []int) {
	step := 1
	if raceEnabled || testing.Short() {
		step = 4
	}
	for i := 0; i < n; i += step {
		list = append(list, i)
	}
	return list
}

// crashEffort says how hard to try: less for each of many runs that are variants of one.
func crashEffort(variant bool) (exhaustive, seeds, innerEvery int) {
	switch {
	case os.Getenv("LOGBUF_LONG") != "" && variant:
		return 7, 6, 5
	case os.Getenv("LOGBUF_LONG") != "":
		return 11, 30, 1
	case raceEnabled || testing.Short():
		return 2, 1, 50
	case variant:
		return 3, 1, 40
	}
	return 5, 2, 30
}

func (c *crasher) all() {
	exhaustive, seeds, innerEvery := crashEffort(c.run.begin > 0 || c.run.light)
	d := c.run.sim.Disk()
	d.Trust(lockName)
	d.StepTo(c.run.begin)
	marks := c.run.promises
	var promised uint64
	for {
		for len(marks) > 0 && marks[0].after <= d.After() {
			promised, marks = marks[0].seq, marks[1:]
		}
		for _, crash := range d.Crashes(exhaustive, seeds) {
			img := d.Crash(crash.Model, crash.Seed)
			c.images++
			h := hashFiles(img.Files(memDir))
			if p, ok := c.seen[h]; ok && p >= promised+1 {
				continue
			}
			c.seen[h] = promised + 1
			c.checked++
			k := crashCheck{t: c.t, gens: c.run.gens, promised: promised, trimmed: c.run.trimmed, name: crashName(c.t.Name(), crash)}
			if c.run.extra != nil {
				c.run.extra(&k, img, d.After())
			}
			k.check(img)
			if c.checked%innerEvery == 0 {
				c.inner += k.crashRecovery(d.Crash(crash.Model, crash.Seed))
			}
			if c.t.Failed() {
				c.t.Fatalf("last operation: %s", c.run.sim.OpString(max(0, d.After()-1)))
			}
		}
		if !d.Step() || c.run.begin > 0 && d.After() > c.run.begin+variantOps && os.Getenv("LOGBUF_LONG") == "" {
			return
		}
	}
}

// variantOps is how many operations after the one that makes a variant are crashed.
const variantOps = 30

// replay looks at one crash alone, and at one of its recovery.
func (c *crasher) replay(crashes []vfs.Crash) {
	first := crashes[0]
	k := crashCheck{t: c.t, gens: c.run.gens, trimmed: c.run.trimmed, name: crashName(c.t.Name(), crashes...)}
	for _, m := range c.run.promises {
		if m.after <= first.After {
			k.promised = m.seq
		}
	}
	for i := max(0, first.After-15); i < first.After; i++ {
		c.t.Logf("%d: %s", i+1, c.run.sim.OpString(i))
	}
	img := crashTrusting(c.run.sim, first)
	if len(crashes) > 1 {
		want := k.recoverAndDie(img)
		c.t.Logf("recovered %+v", want)
		for i := range min(img.Total(), crashes[1].After) {
			c.t.Logf("recovery %d: %s", i+1, img.OpString(i))
		}
		img, k.again = crashTrusting(img, crashes[1]), true
	}
	for name, b := range img.Files(memDir) {
		c.t.Logf("%s: %d bytes", name, len(b))
	}
	c.t.Logf("promised %d, recovered %+v", k.promised, k.check(img))
}

// crashTrusting is Sim.Crash with what the tests take for granted.
func crashTrusting(sim *vfs.Sim, c vfs.Crash) *vfs.Sim {
	d := sim.Disk()
	d.Trust(lockName)
	d.StepTo(c.After)
	return d.Crash(c.Model, c.Seed)
}

var hashSeed = maphash.MakeSeed()

// hashFiles returns a hash of the files that say something.
func hashFiles(files map[string]string) uint64 {
	var sum uint64
	for name, b := range files {
		if name != lockName {
			sum += maphash.String(hashSeed, name+"\x00"+b) // in whatever order
		}
	}
	return sum
}

// crashCheck checks an image.
type crashCheck struct {
	t        *testing.T
	name     string
	gens     []uint8 // all that was ever written
	promised uint64
	trimmed  uint64 // records below this may be trimmed
	again    bool   // recovery has been at work before
}

func (k *crashCheck) errorf(format string, args ...any) {
	k.t.Helper()
	k.t.Errorf("%s, promised %d: %s", k.name, k.promised, fmt.Sprintf(format, args...))
}

// found is what a way to read an archive finds in it.
type found struct {
	verdict Verdict
	next    uint64 // sequence after the last record
	gaps    string // where records are missing
}

// addGap takes note of a gap with records.
func (f *found) addGap(g Gap) {
	if g.LastSeq+1 != g.FirstSeq {
		f.gaps += fmt.Sprintf("%d to %d, ", g.FirstSeq, g.LastSeq)
	}
}

// check looks at an image in every way, then opens it, twice. It returns what was recovered.
func (k *crashCheck) check(img *vfs.Sim) (rec Recovery) {
	k.t.Helper()
	var before found
	if len(segmentNamesIn(img)) > 0 {
		before = k.look(img, "before recovery")
	}
	w, err := openStepped(memDir, &Options{FS: img})
	if err != nil {
		k.errorf("open: %v", err)
		return rec
	}
	rec = w.Recovered()
	mustClose(k.t, w)
	after := k.look(img, "after recovery")
	k.compare(before, rec, after)
	if w, err = openStepped(memDir, &Options{FS: img}); err != nil {
		k.errorf("second open: %v", err)
		return rec
	}
	if again := w.Recovered(); again.Verdict != Clean || again.NextSeq != rec.NextSeq || again.Unclean {
		k.errorf("second open: %+v, the first: %+v", again, rec)
	}
	mustClose(k.t, w)
	return rec
}

// compare checks that what was seen before recovery, what recovery said, and what is seen after it are the same.
func (k *crashCheck) compare(before found, rec Recovery, after found) {
	k.t.Helper()
	if rec.NextSeq < k.promised {
		k.errorf("recovered up to %d only: %+v", rec.NextSeq, rec)
	}
	if before.verdict == 0 { // no segment
		before = found{verdict: Clean, next: rec.NextSeq}
	}
	var said found
	if rec.Verdict == Lossy {
		said.addGap(Gap{FirstSeq: rec.LossFirst, LastSeq: rec.LossLast})
	}
	older := k.again && before.verdict == Lossy && before.gaps != "" // the loss is not before the last segment any more
	if rec.Verdict != before.verdict && !older {
		k.errorf("open says %+v; before it was %+v", rec, before)
	}
	want := Clean
	if before.gaps != "" {
		want = Lossy
	}
	if before.next != rec.NextSeq || before.gaps != said.gaps && !older || after != (found{want, rec.NextSeq, before.gaps}) {
		k.errorf("before recovery %+v, recovered %+v, after it %+v", before, rec, after)
	}
}

func segmentNamesIn(img *vfs.Sim) (names []string) {
	for name := range img.Files(memDir) {
		if strings.HasSuffix(name, segmentExt) {
			names = append(names, name)
		}
	}
	return names
}

// look reads an image by Verify, by a Reader, and by one that wants durable records only.
func (k *crashCheck) look(img *vfs.Sim, when string) (f found) {
	k.t.Helper()
	rep, err := Verify(memDir, &VerifyOptions{FS: img, Workers: 1})
	if err != nil {
		k.errorf("%s: verify: %v", when, err)
		return f
	}
	f = found{verdict: rep.Verdict, next: rep.NextSeq}
	for _, g := range rep.Gaps {
		if !g.Trimmed {
			f.addGap(g)
		}
	}
	if rep.Verdict == Corrupt {
		k.errorf("%s: corrupt: %+v", when, rep.Problems)
		return f
	}
	if rep.NextSeq < k.promised {
		k.errorf("%s: verified up to %d: %+v", when, rep.NextSeq, rep)
	}
	got, torn, err := k.read(img, false)
	onlyFooter := rep.Torn != nil && strings.Contains(rep.Torn.Reason, "index") // which a reader does not look at
	if err != nil || got.next != f.next || got.gaps != f.gaps || torn != (rep.Torn != nil) && !onlyFooter {
		k.errorf("%s: the reader finds %+v, torn %v, %v; verify %+v", when, got, torn, err, f)
	}
	durable, _, err := k.read(img, true)
	if err != nil || durable.next > f.next {
		k.errorf("%s: the durable reader finds %+v, %v; the other one %+v", when, durable, err, f)
	}
	return f
}

// read reads an archive and checks every record.
func (k *crashCheck) read(img *vfs.Sim, durable bool) (f found, torn bool, err error) {
	rd, err := OpenReader(memDir, &ReaderOptions{FS: img, Durable: durable})
	if err != nil {
		return f, false, err
	}
	defer rd.Close()
	if first := rd.FirstSeq(); first <= k.trimmed {
		f.next = first
	}
	for {
		rec, err := rd.Next(k.t.Context())
		if errors.Is(err, io.EOF) {
			return f, rd.Torn() != nil, nil
		}
		var gap *GapError
		if errors.As(err, &gap) && gap.Trimmed && gap.FirstSeq == 0 && gap.LastSeq+1 == f.next {
			continue
		}
		if errors.As(err, &gap) && gap.FirstSeq == f.next && gap.FirstSeq >= k.promised {
			f.addGap(gap.Gap)
			f.next = gap.LastSeq + 1
			continue
		}
		if err != nil {
			return f, false, err
		}
		if rec.Seq != f.next || rec.Seq >= uint64(len(k.gens)) {
			return f, false, fmt.Errorf("sequence %d, want %d, below %d", rec.Seq, f.next, len(k.gens))
		}
		if want := crashRecord(rec.Seq, k.gens[rec.Seq]); rec.Time != want.Time || string(rec.Payload) != string(want.Payload) {
			return f, false, fmt.Errorf("sequence %d is not what was written", rec.Seq)
		}
		f.next++
	}
}

// recoverAndDie opens an image and does no more.
func (k *crashCheck) recoverAndDie(img *vfs.Sim) Recovery {
	k.t.Helper()
	w, err := openStepped(memDir, &Options{FS: img})
	if err != nil {
		k.errorf("open: %v", err)
		return Recovery{}
	}
	if d := w.DurableSeq(); d != w.NextSeq() {
		k.errorf("durable below %d after open, want %d", d, w.NextSeq())
	}
	if err := w.unlock(); err != nil {
		k.t.Fatal(err)
	}
	return w.Recovered()
}

// crashRecovery opens an image and crashes that after every operation, too. It returns how many images it has looked at.
func (k *crashCheck) crashRecovery(img *vfs.Sim) (n int) {
	want := k.recoverAndDie(img)
	total := img.Total()
	if k.t.Failed() {
		return 0
	}
	seen := make(map[uint64]bool)
	d := img.Disk()
	d.Trust(lockName)
	for d.Step() && d.After() <= total {
		for _, crash := range d.Crashes(3, 1) {
			img := d.Crash(crash.Model, crash.Seed)
			if h := hashFiles(img.Files(memDir)); seen[h] {
				continue
			} else {
				seen[h] = true
			}
			n++
			in := *k
			in.again = true
			in.name = crashName(k.name, crash)
			if d.After() >= total {
				in.promised = max(k.promised, want.NextSeq)
			}
			if got := in.check(img); got.NextSeq != want.NextSeq {
				in.errorf("recovered %+v, without the second crash %+v", got, want)
			}
			if k.t.Failed() {
				return n
			}
		}
	}
	return n
}

package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// specWriter writes a random archive and then damages it.
type specWriter struct {
	t   testing.TB
	rng *rand.Rand
	mem *vfs.Mem
	now int64

	story string // which archive it is, and what was done to it
}

// writeAll opens the archive up to four times and ends each time in good order or dies, and does what else may be done to an archive.
func (s *specWriter) writeAll() {
	for range 1 + s.rng.IntN(4) {
		fault := vfs.NewFault(s.mem)
		if s.rng.IntN(4) == 0 { // now and then a sync fails, and another segment takes over
			fault.SetHook(func(_ int, op vfs.Op) (v vfs.Verdict) {
				if op.Kind == vfs.OpSync && strings.HasSuffix(op.Path, segmentExt) && s.rng.IntN(4) == 0 {
					v.Err = syscall.EIO
				}
				return v
			})
		}
		w, err := openStepped(memDir, &Options{FS: fault, MaxBlock: minMaxBlock, SegmentSize: minSegmentSize, Sync: SyncNone, Retain: 1 << 20})
		if errors.Is(err, syscall.EIO) {
			continue
		}
		var c *CorruptionError
		if errors.As(err, &c) {
			return // the crash before has taken too much
		}
		if err != nil {
			s.t.Fatal(err)
		}
		for range s.rng.IntN(14) {
			s.step(w)
		}
		image := s.mem.Clone()
		fault.SetHook(nil)
		if err := w.Close(); err != nil && !errors.Is(err, syscall.EIO) {
			s.t.Fatal(err)
		}
		if s.rng.IntN(2) == 0 {
			s.mem = image
			s.die()
		} else {
			s.treat()
		}
	}
}

// treat does to an archive at rest what may be done to one.
func (s *specWriter) treat() {
	var err error
	switch s.rng.IntN(6) {
	case 0:
		s.story += ", trimmed"
		_, err = Trim(memDir, &TrimOptions{FS: s.mem, Retention: Retention{MaxSegments: 1 + s.rng.IntN(3)}})
	case 1:
		s.story += ", compressed"
		_, err = Compact(memDir, &CompactOptions{FS: s.mem})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// salvage puts what Salvage makes of the archive in its place.
func (s *specWriter) salvage() {
	if _, err := Salvage(memDir, "out", &SalvageOptions{FS: s.mem}); err != nil {
		return // nothing can be read
	}
	s.story += ", salvaged"
	entries, err := s.mem.ReadDir("out")
	if err != nil {
		s.t.Fatal(err)
	}
	out := vfs.NewMem()
	if err := out.MkdirAll(memDir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		mustWrite(s.t, out, filepath.Join(memDir, e.Name()), mustRead(s.t, s.mem, filepath.Join("out", e.Name())))
	}
	s.mem = out
}

// step does one thing to a writer.
func (s *specWriter) step(w *Writer) {
	s.t.Helper()
	var err error
	switch s.rng.IntN(13) {
	case 12:
		w.stepSync()
	case 0, 1:
		_, err = w.DefineStream(fmt.Sprintf("stream %d", s.rng.IntN(9)))
	case 2:
		err = w.Sync(s.t.Context())
	case 3:
		_, err = w.Append(Record{Kind: KindMark, Payload: AppendMark(nil, []byte("a mark"))})
	case 4:
		_, err = w.Append(Record{Kind: KindClock, Payload: ClockStep{s.now, s.now + 5}.Append(nil)})
	case 5:
		if w.seg.records() > 0 && w.failure() == nil {
			err = w.tryRotate()
		}
	default:
		frames, n := s.span()
		_, err = w.AppendFrames(frames, n)
	}
	var failed *WriteError
	if err != nil && !(errors.As(err, &failed) && errors.Is(err, syscall.EIO)) {
		s.t.Fatal(err)
	}
}

// span makes up to 40 frames of any kind that a caller may write.
func (s *specWriter) span() (frames []byte, records int) {
	for range 1 + s.rng.IntN(40) {
		s.now += int64(s.rng.IntN(1000)) - 100
		rec := Record{Time: s.now, Kind: KindData, Flags: uint8(s.rng.IntN(256)), Stream: uint16(s.rng.IntN(6))}
		size := s.rng.IntN(60)
		switch s.rng.IntN(20) {
		case 0:
			frames = appendSkip(frames, s.rng.IntN(40))
			continue
		case 1:
			rec.Kind = KindLoss
			rec.Payload = Loss{Stream: rec.Stream, First: 1, Records: uint64(s.rng.IntN(9)), Bytes: 7, Reason: LossReason(s.rng.IntN(9))}.Append(nil)
		case 2:
			rec.Kind = uint8(2 + s.rng.IntN(0x3e))
		case 3:
			rec.Kind = uint8(0x46 + s.rng.IntN(0x3a))
		case 4:
			rec.Time = int64(s.rng.Uint64())
		case 5:
			size = s.rng.IntN(minMaxBlock - frameOverhead)
		}
		if rec.Payload == nil {
			rec.Payload = make([]byte, size)
			for i := range rec.Payload {
				rec.Payload[i] = byte(s.rng.Uint32())
			}
		}
		frames = AppendFrame(frames, rec)
		records++
	}
	return frames, records
}

// die cuts the last segment or the one before somewhere, as a crash may, or more.
func (s *specWriter) die() {
	if s.rng.IntN(2) == 0 {
		return
	}
	names := segmentNames(s.t, s.mem)
	name := filepath.Join(memDir, names[max(0, len(names)-1-s.rng.IntN(2))])
	b := mustRead(s.t, s.mem, name)
	mustWrite(s.t, s.mem, name, b[:len(b)-s.rng.IntN(min(2000, len(b)))])
	if s.rng.IntN(2) == 0 {
		_ = s.mem.Remove(filepath.Join(memDir, headName)) // may not be there
	}
}

// damage does one thing to the files, and says what.
func (s *specWriter) damage() string {
	names := segmentNames(s.t, s.mem)
	base := names[s.rng.IntN(len(names))]
	if s.rng.IntN(3) == 0 {
		base = names[len(names)-1]
	}
	name := filepath.Join(memDir, base)
	b := mustRead(s.t, s.mem, name)
	at := s.rng.IntN(len(b) + 1)
	if len(b) > segmentHeaderLen && s.rng.IntN(8) > 0 {
		at = segmentHeaderLen + s.rng.IntN(len(b)-segmentHeaderLen)
	}
	what := fmt.Sprintf("at %d of %s (%d bytes)", at, base, len(b))
	switch s.rng.IntN(8) {
	case 0, 1:
		if at < len(b) {
			b[at] ^= 1 << s.rng.IntN(8)
		}
		what = "bit flipped " + what
	case 2:
		b = b[:at]
		what = "cut " + what
	case 3:
		clear(b[at:min(len(b), at+1+s.rng.IntN(600))])
		what = "zeros " + what
	case 4:
		n := min(s.rng.IntN(60)*8, len(b)-at)
		copy(b[s.rng.IntN(len(b))&^7:], append([]byte(nil), b[at&^7:][:n]...))
		what = "copied elsewhere " + what
	case 5:
		b = append(b, make([]byte, s.rng.IntN(100))...)
		what = "lengthened " + what
	case 6:
		_ = s.mem.Remove(filepath.Join(memDir, headName)) // may not be there
		what = "no HEAD"
	case 7:
		if len(names) > 1 && s.rng.IntN(3) == 0 {
			mustRemove(s.t, s.mem, base)
			return "no " + base
		}
	}
	mustWrite(s.t, s.mem, name, b)
	return what
}

// The Go reader and the one in Python agree, record by record and on the verdict, on random archives, whole and damaged.
// LOGBUF_SPEC_ARCHIVES says how many, default 24, and LOGBUF_SPEC_SEED from which seed on.
func TestPythonReaderAgreesOnRandomArchives(t *testing.T) {
	py := python(t)
	env := func(name string, v int) uint64 {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			v = n
		}
		return uint64(v)
	}
	first := env("LOGBUF_SPEC_SEED", 0)
	verdicts, failed := map[string]int{}, 0
	var made []*specWriter
	var dirs []string
	for seed := first; seed < first+env("LOGBUF_SPEC_ARCHIVES", 24); seed++ {
		s := &specWriter{t: t, rng: testRand(seed), mem: vfs.NewMem(), now: 1e18, story: fmt.Sprintf("seed %d", seed)}
		s.writeAll()
		for range max(0, s.rng.IntN(5)-2) {
			s.story += ", " + s.damage()
		}
		if s.rng.IntN(8) == 0 {
			s.salvage()
		}
		made = append(made, s)
		dirs = append(dirs, filepath.Join(t.TempDir(), fmt.Sprint(seed)))
		export(t, s.mem, dirs[len(dirs)-1])
	}
	for i, got := range pyRead(t, py, dirs...) {
		s := made[i]
		want := goOutcome(t, memDir, s.mem)
		if !sameOutcome(t, s.story, got.outcome, want) {
			rep, _ := Verify(memDir, &VerifyOptions{FS: s.mem})
			t.Errorf("lbj.py: %q\nGo: torn %+v\nproblems %+v\ngaps %+v", got.problems, rep.Torn, rep.Problems, rep.Gaps)
			if failed++; failed == 5 {
				return
			}
		}
		verdicts[want.Verdict]++
	}
	if first == 0 && (verdicts["clean"] < 5 || verdicts["torn"] < 2 || verdicts["corrupt"] < 5) {
		t.Errorf("verdicts %v: the archives are too much alike", verdicts)
	}
	t.Log(verdicts)
}

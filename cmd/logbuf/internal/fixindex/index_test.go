package fixindex

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

func message(fields string) []byte {
	body := strings.ReplaceAll(fields, "|", "\x01") + "\x01"
	m := fmt.Appendf(nil, "8=FIX.4.4\x019=%d\x01%s", len(body), body)
	return fmt.Appendf(m, "10=%03d\x01", fixbuf.Checksum(m))
}

// writer makes archives.
type writer struct {
	t        *testing.T
	dir      string
	rec      *recorder.Recorder
	sessions *fixbuf.Recorder
	next     map[string]int
	rng      *rand.Rand
}

func newWriter(t *testing.T) *writer {
	w := &writer{t: t, dir: t.TempDir(), next: map[string]int{}, rng: rand.New(rand.NewPCG(1, 2))}
	w.open()
	t.Cleanup(w.close)
	return w
}

func (w *writer) open() {
	w.t.Helper()
	var err error
	if w.rec, err = recorder.Open(w.dir, &recorder.Options{Journal: journal.Options{SegmentSize: 64 << 10}}); err != nil {
		w.t.Fatal(err)
	}
	w.sessions = fixbuf.NewRecorder(w.rec, &fixbuf.Options{Overload: recorder.OverloadWait})
}

func (w *writer) close() {
	if w.rec == nil {
		return
	}
	w.sessions.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.rec.Close(ctx); err != nil {
		w.t.Error(err)
	}
	w.rec = nil
}

func (w *writer) record(from, to, fields string) {
	w.t.Helper()
	w.next[from+to]++
	if err := w.sessions.Record(from > to, message(fmt.Sprintf("%s|49=%s|56=%s|34=%d|58=%s", fields, from, to, w.next[from+to], strings.Repeat("x", 60)))); err != nil {
		w.t.Fatal(err)
	}
}

// messages records n messages of several sessions, with all that happens in them,
// and waits now and then, so that the archiver begins a segment as often as it can.
func (w *writer) messages(n int) {
	w.t.Helper()
	for i := range n {
		if i%200 == 0 {
			w.written()
		}
		from, to := "A", "B"
		if w.rng.IntN(4) == 0 {
			from, to = "C", "B"
		}
		if w.rng.IntN(2) == 0 {
			from, to = to, from
		}
		key := from + to
		switch w.rng.IntN(200) {
		case 0:
			w.next[key] += 1 + w.rng.IntN(5)
			w.record(from, to, "35=D")
		case 1:
			w.next[key] = 0
			w.record(from, to, "35=A|141=Y")
		case 2:
			at := w.next[key]
			if w.next[key] = max(0, at-5); at > 0 {
				for w.next[key] < at {
					w.record(from, to, "35=D|43=Y")
				}
			}
		case 3:
			w.record(from, to, "35=4|123=Y|36=10")
		default:
			w.record(from, to, "35=D")
		}
	}
	w.written()
}

func (w *writer) written() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.rec.WaitDurable(ctx); err != nil {
		w.t.Fatal(err)
	}
}

func (w *writer) index(opts Options) (x *Index, read []string) {
	w.t.Helper()
	opts.Read = func(s string) { read = append(read, s) }
	opts.Damaged = func(g journal.Gap) { w.t.Errorf("damaged: %+v", g) }
	x, err := Open(w.t.Context(), w.dir, &opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return x, read
}

// truth is the archive read without an index.
type found struct {
	session string
	side    int
	n, seq  uint64
}

func (w *writer) truth() (all []found) {
	w.t.Helper()
	r, err := journal.OpenReader(w.dir, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			w.t.Fatal(err)
		}
		var h fixbuf.Header
		if h.Parse(rec.Payload) == nil {
			all = append(all, found{h.Identity().String(), h.Side(), h.SeqNum, rec.Seq})
		}
	}
	return all
}

func (w *writer) check(x *Index) {
	w.t.Helper()
	truth := w.truth()
	count := map[string]uint64{}
	for _, f := range truth {
		count[f.session]++
	}
	if len(x.Names()) != len(count) {
		w.t.Errorf("sessions %v, there are %v", x.Names(), count)
	}
	for name, n := range count {
		if s := x.Session(name); s == nil || s.Messages() != n {
			w.t.Errorf("%s: %+v, want %d messages", name, s, n)
		}
	}
	for _, r := range x.Runs { // each number of a run is there
		n := uint64(0)
		for _, f := range truth {
			if f.session == r.Session && f.side == r.Side && f.seq >= r.First && f.seq <= r.Last && f.n >= r.From && f.n <= r.To {
				n++
			}
		}
		if n < r.To-r.From+1 || n > maxRun {
			w.t.Fatalf("%+v: %d messages", r, n)
		}
	}
	for range 30 {
		from := uint64(w.rng.IntN(600))
		to := from + uint64(w.rng.IntN(30))
		session, side := "FIX.4.4:A-B", w.rng.IntN(2)
		var want, got []uint64
		for _, f := range truth {
			if f.session == session && f.side == side && f.n >= from && f.n <= to {
				want = append(want, f.seq)
			}
		}
		spans := x.Find(session, side, from, to)
		err := Read(w.t.Context(), w.dir, session, spans, func(journal.Gap) {}, func(m *Message) error {
			if m.Header.Side() == side && m.Header.SeqNum >= from && m.Header.SeqNum <= to {
				got = append(got, m.Seq)
			}
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			w.t.Fatalf("%d to %d of side %d: %v, %v; want %v", from, to, side, got, err, want)
		}
	}
}

func same2(t *testing.T, what string, a, b *Index) {
	t.Helper()
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s: %d sessions, %d runs, %d gaps; want %d, %d, %d\n%+v\n%+v", what, len(a.Sessions), len(a.Runs), len(a.Gaps), len(b.Sessions), len(b.Runs), len(b.Gaps), a.Sessions, b.Sessions)
	}
}

// The index finds what reading everything finds; from files the same as without; whatever
// becomes of the files; while the archive is written and behind it.
func TestIndex(t *testing.T) {
	w := newWriter(t)
	w.messages(5000) // 640 KiB: four segments also of a writer that fills each to twice its size, because the next is not ready
	x, read := w.index(Options{})
	w.check(x)
	segments, err := journal.Segments(w.dir, nil)
	if err != nil || len(segments) < 4 || len(read) != len(segments) {
		t.Fatalf("%d segments, read %v, %v", len(segments), read, err)
	}
	again, read := w.index(Options{})
	if same2(t, "from files", again, x); len(read) != 1 { // the live one
		t.Errorf("read %v again", read)
	}
	w.messages(1000)
	w.close()
	x, _ = w.index(Options{})
	w.check(x)
	if again, read = w.index(Options{}); len(read) != 0 {
		t.Errorf("read %v of an archive that is closed", read)
	}
	same2(t, "closed", again, x)
	plain, read := w.index(Options{NoCache: true})
	if same2(t, "without files", plain, x); len(read) < 5 {
		t.Errorf("read %v", read)
	}
	w.open()
	w.messages(500)
	x, _ = w.index(Options{})
	w.check(x)
}

func (w *writer) files() (paths []string) {
	w.t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.dir, Dir, "fix-*"))
	if err != nil || len(paths) == 0 {
		w.t.Fatal(paths, err)
	}
	return paths
}

func TestIndexFilesThatAreWrong(t *testing.T) {
	w := newWriter(t)
	w.messages(2500)
	w.close()
	x, _ := w.index(Options{})
	for _, tc := range []struct {
		name  string
		spoil func(paths []string) error
	}{
		{"a byte is changed", func(p []string) error { return rewrite(p[1], func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) }},
		{"cut", func(p []string) error { return rewrite(p[1], func(b []byte) []byte { return b[:len(b)/2] }) }},
		{"empty", func(p []string) error { return rewrite(p[1], func(b []byte) []byte { return nil }) }},
		{"of another segment", func(p []string) error {
			b, err := os.ReadFile(p[2])
			if err != nil {
				return err
			}
			return os.WriteFile(p[1], b, 0o600)
		}},
		{"runs outside the segment", func(p []string) error {
			return rewrite(p[1], func(b []byte) []byte {
				_, body, _ := strings.Cut(string(b), "\n")
				before, runs, _ := strings.Cut(body, `"runs":`)
				body = before + `"runs":` + strings.Replace(runs, `"first":`, `"first":99999`, 1)
				return append([]byte(head([]byte(body))), body...)
			})
		}},
		{"a gap of a session that there is not", func(p []string) error {
			return rewrite(p[1], func(b []byte) []byte {
				_, body, _ := strings.Cut(string(b), "\n")
				i := strings.LastIndex(body, `"gaps":[{"session":"`) + len(`"gaps":[{"session":"`)
				body = body[:i] + "no " + body[i:]
				return append([]byte(head([]byte(body))), body...)
			})
		}},
		{"of another archive", func(p []string) error {
			return rewrite(p[1], func(b []byte) []byte {
				_, body, _ := strings.Cut(string(b), "\n")
				body = strings.Replace(body, `"Records":`, `"Records":1`, 1)
				return append([]byte(head([]byte(body))), body...)
			})
		}},
		{"of another beginning", func(p []string) error {
			return rewrite(p[1], func(b []byte) []byte {
				_, body, _ := strings.Cut(string(b), "\n")
				body = strings.Replace(body, `"bad_sum":0`, `"bad_sum":7`, 1)
				return append([]byte(head([]byte(body))), body...)
			})
		}},
		{"a directory", func(p []string) error {
			if err := os.Remove(p[1]); err != nil {
				return err
			}
			return os.Mkdir(p[1], 0o700)
		}},
		{"removed", func(p []string) error { return os.RemoveAll(filepath.Dir(p[0])) }},
		{"no place for them", func(p []string) error {
			if err := os.RemoveAll(filepath.Dir(p[0])); err != nil {
				return err
			}
			return os.WriteFile(filepath.Dir(p[0]), nil, 0o600)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.spoil(w.files()); err != nil {
				t.Fatal(err)
			}
			again, read := w.index(Options{})
			if same2(t, "made anew", again, x); len(read) == 0 {
				t.Error("the file was believed")
			}
		})
	}
}

func rewrite(path string, change func([]byte) []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, change(b), 0o600)
}

// Archives with an index are archives: verified, backed up, trimmed, opened.
func TestJournalLeavesIndexAlone(t *testing.T) {
	w := newWriter(t)
	w.messages(2500)
	w.close()
	whole, _ := w.index(Options{})
	rep, err := journal.Verify(w.dir, nil)
	if err != nil || rep.Verdict != journal.Clean || len(rep.Foreign) != 0 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if _, err := journal.Backup(w.dir, copied, nil); err != nil {
		t.Error(err)
	}
	if x, err := Open(t.Context(), copied, nil); err != nil {
		t.Error(err)
	} else {
		same2(t, "backup", x, whole)
	}
	before := len(w.files())
	gone, err := journal.Trim(w.dir, &journal.TrimOptions{Retention: journal.Retention{MaxSegments: 2}})
	if err != nil || len(gone) == 0 {
		t.Fatal(gone, err)
	}
	x, read := w.index(Options{})
	if len(read) != 0 || len(w.files()) != before-len(gone) {
		t.Errorf("behind a trim: read %v, %d files of %d, %d segments went", read, len(w.files()), before, len(gone))
	}
	w.check(x)
	w.open()
	w.messages(100)
	x, _ = w.index(Options{})
	w.check(x)
}

// A loss is counted once, whichever side of the end of a segment it is on.
func TestLosses(t *testing.T) {
	w := newWriter(t)
	const name = "FIX.4.4:A-B"
	lost := uint64(0)
	for i := range 30 {
		w.next["AB"] = 0
		for range w.rng.IntN(3) * 300 {
			w.record("A", "B", "35=D")
		}
		w.sessions.Close()
		p, err := w.rec.Producer(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.Lose(uint64(i), 10, journal.LossSource)
		lost += uint64(i)
		p.Close()
		w.close()
		w.open()
		if i%7 == 0 {
			w.index(Options{}) // some are indexed as they come
		}
	}
	w.close()
	for _, opts := range []Options{{}, {}, {NoCache: true}} {
		x, _ := w.index(opts)
		if s := x.Session(name); s == nil || s.Lost != lost || s.LossGaps != 1 {
			t.Errorf("%+v: %+v, want %d lost", opts, s, lost)
		}
	}
}

func TestDays(t *testing.T) {
	w := newWriter(t)
	for _, n := range []int{50, 20, 30} {
		w.next["AB"] = 0
		for range n {
			w.record("A", "B", "35="+map[bool]string{true: "A", false: "D"}[w.next["AB"] == 0])
		}
	}
	w.next["AB"] = 24 // 25 is sent again, as a repetition with a hole behind it
	w.record("A", "B", "35=D|43=Y")
	w.close()
	x, _ := w.index(Options{})
	days := x.Days("FIX.4.4:A-B", 0)
	if len(days) != 3 || days[0].To != 50 || days[1].To != 20 || days[2].From != 1 || days[2].To != 30 {
		t.Fatalf("%+v", days)
	}
	entries, err := x.Entries(t.Context(), w.dir, "FIX.4.4:A-B", 0, days[2], 20, 99)
	if err != nil || len(entries) != 11 || entries[5] != (Entry{25, 50 + 20 + 24}) {
		t.Errorf("%+v, %v", entries, err)
	}
	f := NewFetcher(w.dir)
	defer f.Close()
	for _, e := range append(entries, entries[0]) {
		if m, err := f.Fetch(t.Context(), e.Seq); err != nil || m.Header.SeqNum != e.SeqNum || m.Header.PossDup {
			t.Errorf("%+v: %+v, %v", e, m, err)
		}
	}
}

// BenchmarkOpen makes the index of 100 000 messages in 20 sessions, first from the
// records and then from the files; ns/op is for all of them.
func BenchmarkOpen(b *testing.B) {
	const messages, sessions = 100_000, 20
	dir := b.TempDir()
	rec, err := recorder.Open(dir, &recorder.Options{Journal: journal.Options{SegmentSize: 4 << 20}})
	if err != nil {
		b.Fatal(err)
	}
	to := fixbuf.NewRecorder(rec, &fixbuf.Options{Overload: recorder.OverloadWait})
	for i := range messages {
		m := message(fmt.Sprintf("35=D|49=C%02d|56=X|34=%d|52=20261121-09:30:00.000|58=%s", i%sessions, i/sessions+1, strings.Repeat("x", 80)))
		if err := to.Record(true, m); err != nil {
			b.Fatal(err)
		}
	}
	to.Close()
	if err := rec.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, from := range []string{"records", "files"} {
		b.Run(from, func(b *testing.B) {
			for b.Loop() {
				x, err := Open(b.Context(), dir, &Options{NoCache: from == "records"})
				if err != nil || len(x.Sessions) != sessions {
					b.Fatal(len(x.Sessions), err)
				}
			}
		})
	}
	b.Run("find 10", func(b *testing.B) {
		x, err := Open(b.Context(), dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			n := 0
			err := Read(b.Context(), dir, "FIX.4.4:C07-X", x.Find("FIX.4.4:C07-X", 0, 4000, 4009), func(journal.Gap) {}, func(m *Message) error {
				if m.Header.SeqNum >= 4000 && m.Header.SeqNum <= 4009 {
					n++
				}
				return nil
			})
			if err != nil || n != 10 {
				b.Fatal(n, err)
			}
		}
	})
}

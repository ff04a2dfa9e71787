package recorder

import (
	"encoding/json"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
)

// What the archiver appends is in the histograms, record by record and byte by byte.
func TestStatsBatches(t *testing.T) {
	var frames int
	fake := &fakeArchive{before: func(_ int, b []byte) (int, error) { frames += len(b); return 0, nil }}
	r := startFake(t, fake, nil)
	p := mustProducer(t, r, "s", nil)
	for i := range 100 {
		if _, err := p.Write(make([]byte, i)); err != nil {
			t.Fatal(err)
		}
	}
	p.Lose(3, 30, journal.LossSource)
	mustClose(t, r)
	st := r.Stats()
	if st.BatchRecords.Sum != 101 || st.BatchRecords.Count() != uint64(fake.appends) {
		t.Errorf("%d records in %d appends, want 101 in %d", st.BatchRecords.Sum, st.BatchRecords.Count(), fake.appends)
	}
	if st.BatchBytes.Sum != uint64(frames) || st.BatchBytes.Count() != uint64(fake.appends) {
		t.Errorf("%d bytes in %d appends, want %d in %d", st.BatchBytes.Sum, st.BatchBytes.Count(), frames, fake.appends)
	}
}

// What lies in lanes and what is written and not synced are both not durable.
func TestStatsUndurable(t *testing.T) {
	r, err := Open(t.TempDir(), &Options{Journal: journal.Options{Sync: journal.SyncNone}})
	if err != nil {
		t.Fatal(err)
	}
	p := mustProducer(t, r, "s", nil)
	for range 100 {
		if _, err := p.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	st := r.Stats()
	for st.LagRecords > 0 { // the archiver takes them out of the lane
		runtime.Gosched()
		st = r.Stats()
	}
	if st.UndurableRecords != 100 || st.UndurableBytes < 100*100 || st.Journal.LagRecords != 100 {
		t.Errorf("%d records, %d bytes are not durable, want 100, and their bytes", st.UndurableRecords, st.UndurableBytes)
	}
	if err := p.WaitDurable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st = r.Stats(); st.UndurableRecords != 0 || st.UndurableBytes != 0 {
		t.Errorf("%d records, %d bytes are not durable, want none", st.UndurableRecords, st.UndurableBytes)
	}
	mustClose(t, r)
}

func TestStatsJSON(t *testing.T) {
	s := Stats{
		Err:     errors.New("the disk is gone"),
		Journal: journal.Stats{Err: errors.New("sync: gone")},
		Streams: []StreamStats{{Name: `a "b"`, ProducerStats: ProducerStats{
			Records: 7, ByReason: []LossCount{{Reason: journal.LossOverload, Records: 2}},
		}}},
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"Err":"the disk is gone"`, `"Err":"sync: gone"`, `"Name":"a \"b\""`, `"Records":7`, `"Reason":"overload"`, `"BatchRecords":{"count":0,`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
	if b, err = json.Marshal(Stats{}); err != nil || strings.Contains(string(b), `"Err"`) {
		t.Errorf("without an error: %s, %v", b, err)
	}
}

// Counters for expvar and Prometheus, and neither of them, nor a web server, in
// every program that records.
func TestNoServerInside(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if dep == "net/http" || dep == "expvar" || dep == "net" {
			t.Errorf("package recorder imports %s", dep)
		}
	}
}

// How full the lane was is known to within 1/16, and stays known when the lane is
// gone and another one has taken its place.
func TestLaneHighWater(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		f, release := stalled()
		r := startFake(t, f, nil)
		opts := &ProducerOptions{LaneSize: 4096, Overload: OverloadFail, Shared: shared}
		p := mustProducer(t, r, "a", opts)
		n := 0
		for err := error(nil); err == nil; n++ {
			_, err = p.Write(make([]byte, 100))
		}
		full := (n - 1) * frameRoom(timeLen+100)
		release()
		_ = p.Close()
		if err := r.WaitDurable(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, mustProducer(t, r, "a", opts), "x")
		mustClose(t, r)
		if s := streamStats(t, r, "a"); s.LaneHighWater < full-4096/16 || s.LaneHighWater > 4096 {
			t.Errorf("%d bytes at most, with %d in the lane at once", s.LaneHighWater, full)
		}
	})
}

package recorder

import (
	"context"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// discard is an archive that keeps nothing and allocates nothing.
type discard struct {
	fakeArchive
	next uint64
	hold chan struct{} // if not nil, appends wait until it is closed
}

func (d *discard) NextSeq() uint64 { return d.next }
func (d *discard) AppendFrames(_ []byte, records int) (uint64, error) {
	if d.hold != nil {
		<-d.hold
	}
	first := d.next
	d.next += uint64(records)
	return first, nil
}

func startDiscard(t testing.TB, d *discard, opts *Options) *Recorder {
	t.Helper()
	o, err := opts.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder(d, o)
	go newArchiver(r).run()
	return r
}

// No call on the hot path allocates, nor does one that loses a record.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	bothKinds(t, func(t *testing.T, shared bool) {
		r := startDiscard(t, new(discard), nil)
		defer mustClose(t, r)
		p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared, Overload: OverloadWait})
		held := &discard{hold: make(chan struct{})}
		h := startDiscard(t, held, &Options{LaneSize: 1024})
		defer mustClose(t, h)
		defer close(held.hold)
		full := mustProducer(t, h, "a", &ProducerOptions{Shared: shared})
		fill(t, full)

		rec := make([]byte, 64)
		tests := []struct {
			name string
			call func()
		}{
			{"Write", func() { _, _ = p.Write(rec) }},
			{"WriteAt", func() { _ = p.WriteAt(1, journal.KindData, 0, rec) }},
			{"TryClaim, Commit", func() {
				if c, err := p.TryClaim(1, 0, 64); err == nil {
					c.SetTime(5)
					c.Bytes()[0] = 1
					c.Commit()
				}
			}},
			{"Claim, CommitN", func() {
				if c, err := p.Claim(context.Background(), 1, 0, 64); err == nil {
					c.CommitN(3)
				}
			}},
			{"TryClaim, Abort", func() {
				if c, err := p.TryClaim(1, 0, 64); err == nil {
					c.Abort()
				}
			}},
			{"Write to a full lane", func() {
				if _, err := full.Write(rec); err != queue.ErrFull {
					t.Error(err)
				}
			}},
		}
		for _, test := range tests {
			// What the archiver allocates meanwhile is counted too.
			if n := testing.AllocsPerRun(2000, test.call); n != 0 {
				t.Errorf("%s allocates %v times", test.name, n)
			}
		}
	})
}

// The archiver allocates nothing per batch.
func TestArchiverDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, stage := range []bool{false, true} {
		o, _ := (&Options{Stage: stage}).withDefaults()
		r := newRecorder(new(discard), o)
		a := newArchiver(r)
		p := mustProducer(t, r, "a", nil)
		rec := make([]byte, 100)
		n := testing.AllocsPerRun(1000, func() {
			_, _ = p.Write(rec)
			if !a.round() {
				t.Error("nothing to do")
			}
		})
		if n != 0 {
			t.Errorf("stage %v: a batch allocates %v times", stage, n)
		}
		r.stop()
		a.finish()
	}
}

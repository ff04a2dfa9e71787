package recorder

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Write has no context: under OverloadWait it ends when there is room, and with
// the producer, the recorder or the disk, whatever else stands still.
func TestWaitingWriteEnds(t *testing.T) {
	full := func() (*fakeArchive, func()) {
		f := newFullDisk()
		f.full.Store(true)
		return &f.fakeArchive, func() { f.full.Store(false) }
	}
	failing := func() (*fakeArchive, func()) {
		f, release := stalled()
		f.before = func(int, []byte) (int, error) { time.Sleep(5 * time.Second); return 0, syscall.EIO }
		return f, release
	}
	tests := []struct {
		name    string
		shared  bool // shared producers only
		archive func() (f *fakeArchive, release func())
		end     func(r *Recorder, p *Producer)
		want    error
	}{
		{"Close while a write hangs", false, stalled, func(r *Recorder, _ *Producer) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = r.Close(ctx)
		}, ErrClosed},
		{"Close on a full disk", false, full, func(r *Recorder, _ *Producer) { _ = r.Close(context.Background()) }, ErrClosed},
		{"the disk fails", false, failing, func(*Recorder, *Producer) {}, syscall.EIO},
		{"another goroutine closes the producer", true, stalled, func(_ *Recorder, p *Producer) { _ = p.Close() }, ErrClosed},
		{"there is room", false, stalled, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bothKinds(t, func(t *testing.T, shared bool) {
				if test.shared && !shared {
					return
				}
				synctest.Test(t, func(t *testing.T) {
					f, release := test.archive()
					r := startFake(t, f, &Options{LaneSize: 1024})
					p := mustProducer(t, r, "a", &ProducerOptions{Overload: OverloadWait, Shared: shared})
					fill(t, p)
					ended := make(chan error, 1)
					go func() {
						_, err := p.Write(make([]byte, 40))
						ended <- err
					}()
					time.Sleep(time.Second)
					if len(ended) > 0 {
						t.Error("there was no room:", <-ended)
					}
					if test.end != nil {
						test.end(r, p)
					} else {
						release()
					}
					if err := <-ended; !errors.Is(err, test.want) {
						t.Errorf("Write: %v, want %v", err, test.want)
					}
					want := uint64(2)
					if test.want == nil {
						want = 1
					}
					if s := p.Stats(); s.Refused != want {
						t.Errorf("stats %+v", s)
					}
					release()
					_ = r.Close(context.Background())
				})
			})
		})
	}
}

// Claims with the caller's time carry it, and follow the policy as others do.
func TestClaimsWithATime(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f, release := stalled()
			r := startFake(t, f, &Options{LaneSize: 1024})
			p := mustProducer(t, r, "a", &ProducerOptions{Overload: OverloadWait, Shared: shared})
			commit := func(c Claim, err error) {
				t.Helper()
				if err != nil || !c.Commit() {
					t.Fatal(err)
				}
			}
			commit(p.TryClaimAt(-5, 2, 3, 4))
			taken := fill(t, p)
			if _, err := p.TryClaimAt(1, 2, 3, 40); err == nil {
				t.Error("TryClaimAt found room")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := p.ClaimAt(ctx, 1, 2, 3, 40); !errors.Is(err, context.DeadlineExceeded) {
				t.Error("ClaimAt:", err)
			}
			time.AfterFunc(time.Second, release)
			commit(p.ClaimAt(t.Context(), 77, 4, 5, 40))
			mustClose(t, r)
			got := f.all()
			first, last := got[0], got[len(got)-1]
			if len(got) != taken+2 || first.Time != -5 || first.Kind != 2 || last.Time != 77 || last.Kind != 4 || last.Flags != 5 {
				t.Errorf("%d records, the first %+v, the last %+v", len(got), first, last)
			}
			if s := p.Stats(); s.Refused != 3 {
				t.Errorf("stats %+v", s)
			}
		})
	})
}

// A loss that a claim with a time makes has that time.
func TestLossHasTheCallersTime(t *testing.T) {
	f, release := stalled()
	r := startFake(t, f, &Options{LaneSize: 1024})
	p := mustProducer(t, r, "a", nil)
	fill(t, p)
	if _, err := p.TryClaimAt(42, journal.KindData, 0, 2000); err == nil {
		t.Fatal("too large, and taken")
	}
	release()
	mustClose(t, r)
	found := 0
	for _, rec := range f.all() {
		if rec.Kind != journal.KindLoss {
			continue
		}
		l, err := journal.ParseLoss(rec.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if l.Reason == journal.LossTooLarge {
			found++
			if l.From != 42 || l.To != 42 {
				t.Errorf("%+v", l)
			}
		}
	}
	if found != 1 {
		t.Errorf("%d losses of what was too large", found)
	}
}

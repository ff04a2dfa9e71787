package recorder

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitDurable(t *testing.T) {
	for _, policy := range []Overload{OverloadDrop, OverloadWait, OverloadFail} {
		t.Run(policy.String(), func(t *testing.T) {
			bothKinds(t, func(t *testing.T, shared bool) {
				f := slowly()
				r := startFake(t, f, &Options{LaneSize: 4096})
				p := mustProducer(t, r, "a", &ProducerOptions{Overload: policy, Shared: shared})
				if err := p.WaitDurable(t.Context()); err != nil {
					t.Fatal("nothing written:", err)
				}
				taken := 0
				for n := range scaled(2000) {
					if err := p.WriteAt(int64(n), 1, 0, make([]byte, n%100)); err == nil {
						taken++
					}
					if n%50 != 0 {
						continue
					}
					if err := p.WaitDurable(t.Context()); err != nil {
						t.Fatal(err)
					}
					f.mu.Lock()
					next, asked := f.nextSeq, f.synced[len(f.synced)-1]
					f.mu.Unlock()
					if next < uint64(taken) || asked < uint64(taken-1) {
						t.Fatalf("durable to %d with %d of %d records written", asked, next, taken)
					}
				}
				_ = p.Close()
				if err := p.WaitDurable(t.Context()); err != nil {
					t.Error("after Close of the producer:", err)
				}
				mustClose(t, r)
				if err := p.WaitDurable(t.Context()); err != nil {
					t.Error("after Close of the recorder:", err)
				}
			})
		})
	}
}

func TestWaitDurableFromManyGoroutines(t *testing.T) {
	f := slowly()
	r := startFake(t, f, &Options{LaneSize: 4096})
	p := mustProducer(t, r, "a", &ProducerOptions{Overload: OverloadWait, Shared: true})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range scaled(200) {
				if _, err := p.Write(make([]byte, n)); err != nil {
					t.Error(err)
				}
				if n%2 == 0 { // a skip at the end of the lane
					if c, err := p.TryClaim(1, 0, n); err == nil {
						c.Abort()
					}
				}
				if err := p.WaitDurable(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mustClose(t, r)
	if n := f.NextSeq(); n != uint64(8*scaled(200)) {
		t.Errorf("%d records", n)
	}
}

// Padding behind the last record does not keep WaitDurable waiting.
func TestWaitDurableBehindPadding(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		r := startFake(t, new(fakeArchive), &Options{LaneSize: 1024})
		p := mustProducer(t, r, "a", &ProducerOptions{Overload: OverloadFail, Shared: shared})
		for range 10 {
			if _, err := p.Write(make([]byte, 300)); err != nil {
				continue
			}
			_, _ = p.TryClaim(1, 0, 900) // may pad, and find no room
			if err := p.WaitDurable(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, r)
	})
}

func TestWaitDurableErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, release := stalled()
		r := startFake(t, f, nil)
		p := mustProducer(t, r, "feed", nil)
		if _, err := p.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.WaitDurable(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"feed"`) {
			t.Error(err)
		}
		release()
		if err := p.WaitDurable(t.Context()); err != nil {
			t.Error(err)
		}

		broken := errors.New("disk on fire")
		f.durable = func(context.Context, uint64) error { return broken }
		if err := p.WaitDurable(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), `"feed"`) {
			t.Error(err)
		}
		mustClose(t, r)
	})
}

package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Everything that any producer has committed is durable when WaitDurable
// returns, and it asks the journal once.
func TestRecorderWaitDurable(t *testing.T) {
	f := slowly()
	r := startFake(t, f, &Options{LaneSize: 4096})
	if err := r.WaitDurable(t.Context()); err != nil || len(f.synced) != 0 {
		t.Fatalf("nothing written: %v, asked for %v", err, f.synced)
	}
	var producers []*Producer
	for i := range 6 {
		producers = append(producers, mustProducer(t, r, fmt.Sprint(i), &ProducerOptions{Overload: OverloadWait, Shared: i%2 == 0}))
	}
	committed := 0
	for n := range scaled(1000) {
		p := producers[n%len(producers)]
		if _, err := p.Write(make([]byte, n%100)); err != nil {
			t.Fatal(err)
		}
		if committed++; n%37 != 0 {
			continue
		}
		if n%5 == 0 && len(producers) > 1 { // what it had committed counts all the same
			_ = p.Close()
			producers = slices.DeleteFunc(producers, func(o *Producer) bool { return o == p })
		}
		if err := r.WaitDurable(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		next, asked := f.nextSeq, f.synced[len(f.synced)-1]
		f.mu.Unlock()
		if next != uint64(committed) || asked != next-1 {
			t.Fatalf("durable to %d with %d of %d records written", asked, next, committed)
		}
	}
	mustClose(t, r)
	if err := r.WaitDurable(t.Context()); err != nil {
		t.Error("after Close:", err)
	}
}

// Open claims in several lanes hold it up for StallLimit once, not for each.
func TestRecorderWaitDurablePassesStalledClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startFake(t, new(fakeArchive), nil)
		for i := range 30 {
			_ = mustClaim(t, mustProducer(t, r, fmt.Sprint(i), &ProducerOptions{Shared: true}), 4)
		}
		began := time.Now()
		if err := r.WaitDurable(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d != DefaultStallLimit {
			t.Errorf("it took %v", d)
		}
		mustClose(t, r)
	})
}

func TestRecorderWaitDurableErrors(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f, release := stalled()
			broken := &journal.WriteError{Op: "write", File: "x.lbj", Err: syscall.EIO}
			hold := f.before
			f.before = func(n int, frames []byte) (int, error) {
				_, _ = hold(n, frames)
				if n > 0 {
					return 0, broken
				}
				return 0, nil
			}
			r := startFake(t, f, nil)
			quiet := mustProducer(t, r, "quiet", &ProducerOptions{Shared: shared})
			p := mustProducer(t, r, "feed", &ProducerOptions{Shared: shared})
			mustWrite(t, p, "x")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := r.WaitDurable(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"feed"`) {
				t.Error(err)
			}
			release()
			if err := r.WaitDurable(t.Context()); err != nil {
				t.Error(err)
			}
			refused := errors.New("the sync failed")
			f.durable = func(context.Context, uint64) error { return refused }
			if err := r.WaitDurable(t.Context()); !errors.Is(err, refused) {
				t.Error(err)
			}
			f.durable = nil

			mustWrite(t, p, "lost")
			for range 2 { // before and after the archiver has ended
				var lost *NotWrittenError
				err := r.WaitDurable(t.Context())
				if !errors.As(err, &lost) || !errors.Is(err, syscall.EIO) || !slices.Equal(lost.Streams, []StreamLoss{{"feed", 1, 4}}) {
					t.Error(err)
				}
				synctest.Wait()
			}
			if err := quiet.WaitDurable(t.Context()); err != nil {
				t.Error("a producer that lost nothing:", err)
			}
			if err := r.Close(t.Context()); !errors.Is(err, syscall.EIO) {
				t.Error("Close:", err)
			}
		})
	})
}

// A panic closes the recorder and goes on with its value; without one nothing
// happens.
func TestCloseOnPanic(t *testing.T) {
	f := new(fakeArchive)
	r := startFake(t, f, nil)
	p := mustProducer(t, r, "a", nil)
	func() {
		defer r.CloseOnPanic(time.Second)
		mustWrite(t, p, "1")
	}()
	mustWrite(t, p, "2")
	value := errors.New("a defect")
	func() {
		defer func() {
			if v := recover(); v != value {
				t.Errorf("recovered %v", v)
			}
		}()
		defer r.CloseOnPanic(time.Second)
		panic(value)
	}()
	if got := f.all(); len(got) != 2 || !f.closed {
		t.Errorf("%d records, sealed: %v", len(got), f.closed)
	}
	if _, err := p.Write([]byte("3")); !errors.Is(err, ErrClosed) {
		t.Error("after the panic:", err)
	}
}

// A disk that hangs holds up a panic no longer than Close; a claim that the
// goroutine has left open holds up nothing.
func TestCloseOnPanicDoesNotHang(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			release := func() {}
			if hangs {
				f, release = stalled()
			}
			r := startFake(t, f, nil)
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
			mustWrite(t, p, "1")
			_ = mustClaim(t, p, 4)
			began := time.Now()
			func() {
				defer func() {
					if v := recover(); v != "a defect" {
						t.Errorf("recovered %v", v)
					}
				}()
				defer r.CloseOnPanic(3 * time.Second)
				panic("a defect")
			}()
			want := time.Duration(0)
			if hangs {
				want = 3*time.Second + closeGrace
			}
			if d := time.Since(began); d != want {
				t.Errorf("hanging disk %v: it took %v, want %v", hangs, d, want)
			}
			release()
			if err := r.Close(t.Context()); err != nil && !hangs {
				t.Error(err)
			}
			if n := len(f.all()); n != 1 && !hangs {
				t.Errorf("%d records", n)
			}
		})
	}
}

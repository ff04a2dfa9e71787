package channel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/queue"
)

var strategies = map[string]Strategy{"Park": Park, "Backoff": Backoff, "Spin": Spin}

// sender is what both senders have in common.
type sender interface {
	TrySend(rec []byte) error
	Send(rec []byte) error
	TryClaim(n int) (Claim, error)
	Claim(n int) (Claim, error)
	Notify()
	Close() error
}

func open(t testing.TB, shared bool, capacity int, s Strategy) (sender, *Receiver) {
	t.Helper()
	if shared {
		tx, rx, err := NewMPSC(capacity, &Options{Wait: s})
		if err != nil {
			t.Fatal(err)
		}
		return tx, rx
	}
	tx, rx, err := NewSPSC(capacity, &Options{Wait: s})
	if err != nil {
		t.Fatal(err)
	}
	return tx, rx
}

// each runs f for both kinds of channel and the given strategies.
func each(t *testing.T, f func(t *testing.T, shared bool, s Strategy), which ...Strategy) {
	for _, shared := range []bool{false, true} {
		for name, s := range strategies {
			if len(which) > 0 && which[0] != s {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", map[bool]string{false: "SPSC", true: "MPSC"}[shared], name), func(t *testing.T) {
				f(t, shared, s)
			})
		}
	}
}

// TestNoLostWakeup: if a wake-up is lost, the receiver sleeps for ever with
// the sender waiting for it, and synctest reports a deadlock. There is no
// timeout anywhere that could hide it.
func TestNoLostWakeup(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	each(t, func(t *testing.T, shared bool, s Strategy) {
		synctest.Test(t, func(t *testing.T) {
			tx, rx := open(t, shared, 64, s)
			got := make(chan struct{})
			go func() {
				for i := range rounds {
					if err := tx.TrySend([]byte{byte(i)}); err != nil {
						t.Errorf("send %d: %v", i, err)
					}
					<-got // the receiver is on its way to sleep again
					for range i % 7 {
						runtime.Gosched()
					}
				}
				tx.Close()
			}()
			n := 0
			for rec, err := range all(t.Context(), rx) {
				if err == io.EOF {
					break
				}
				if err != nil || rec[0] != byte(n) {
					t.Fatalf("record %d: %v, %v", n, rec, err)
				}
				n++
				got <- struct{}{}
			}
			if n != rounds {
				t.Fatalf("received %d of %d", n, rounds)
			}
		})
	}, Park)
}

// TestWakeupBetweenLookAndArm puts a record, and the last Close, at the one
// place where the seed loses them: after the receiver found nothing, before it
// announces that it sleeps. The sender finds nobody to wake.
func TestWakeupBetweenLookAndArm(t *testing.T) {
	each(t, func(t *testing.T, shared bool, _ Strategy) {
		synctest.Test(t, func(t *testing.T) {
			tx, rx := open(t, shared, 1024, Park)
			steps := []func(){
				func() { tx.TrySend([]byte("sent")) },
				func() { tx.Close() },
			}
			rx.beforeArm = func() {
				if len(steps) > 0 {
					steps[0]()
					steps = steps[1:]
				}
			}
			if rec, err := rx.Recv(t.Context()); string(rec) != "sent" || err != nil {
				t.Fatalf("%q, %v", rec, err)
			}
			if _, err := rx.Recv(t.Context()); err != io.EOF {
				t.Fatal(err)
			}
		})
	}, Park)
}

func all(ctx context.Context, rx *Receiver) func(yield func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		for {
			rec, err := rx.Recv(ctx)
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// TestNoLostLastRecord commits and closes at once while the receiver polls:
// the seed's receiver sees an empty ring, then no sender, and gives up.
func TestNoLostLastRecord(t *testing.T) {
	rounds := 20000
	if testing.Short() {
		rounds = 2000
	}
	each(t, func(t *testing.T, shared bool, s Strategy) {
		for i := range rounds {
			tx, rx := open(t, shared, 64, s)
			go func() {
				for range i % 5 {
					runtime.Gosched()
				}
				tx.TrySend([]byte("last"))
				tx.Close()
			}()
			rec, err := rx.Recv(context.Background())
			if string(rec) != "last" || err != nil {
				t.Fatalf("round %d: %q, %v", i, rec, err)
			}
			if _, err := rx.Recv(context.Background()); err != io.EOF {
				t.Fatalf("round %d: after the last record: %v", i, err)
			}
		}
	})
}

func TestReceiveDrainsThenEOF(t *testing.T) {
	each(t, func(t *testing.T, shared bool, s Strategy) {
		tx, rx := open(t, shared, 1024, s)
		for i := range 5 {
			if err := tx.Send([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Close(); err != nil {
			t.Fatal(err)
		}
		if err := tx.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
		if err := tx.TrySend(nil); err != ErrClosed {
			t.Errorf("TrySend after Close: %v", err)
		}
		if _, err := tx.Claim(1); err != ErrClosed {
			t.Errorf("Claim after Close: %v", err)
		}
		for i := range 5 {
			if rec, err := rx.Recv(t.Context()); err != nil || rec[0] != byte(i) {
				t.Fatalf("record %d: %v, %v", i, rec, err)
			}
		}
		if _, err := rx.Recv(t.Context()); err != io.EOF {
			t.Errorf("Recv at the end: %v", err)
		}
		if err := rx.Wait(t.Context()); err != io.EOF {
			t.Errorf("Wait at the end: %v", err)
		}
		if _, err := rx.RecvTimeout(0); err != io.EOF {
			t.Errorf("RecvTimeout at the end: %v", err)
		}
	})
}

func TestReceiverCloseTellsSenders(t *testing.T) {
	each(t, func(t *testing.T, shared bool, s Strategy) {
		tx, rx := open(t, shared, 1024, s)
		tx.Send([]byte("never received"))
		rx.Close()
		if err := rx.Close(); err != ErrClosed {
			t.Errorf("second Close: %v", err)
		}
		if err := tx.Send([]byte("x")); err != ErrClosed {
			t.Errorf("Send: %v", err)
		}
		if _, err := tx.TryClaim(1); err != ErrClosed {
			t.Errorf("TryClaim: %v", err)
		}
		if _, err := rx.Recv(t.Context()); err != ErrClosed {
			t.Errorf("Recv: %v", err)
		}
		if err := rx.Wait(t.Context()); err != ErrClosed {
			t.Errorf("Wait: %v", err)
		}
		if _, err := rx.RecvTimeout(time.Second); err != ErrClosed {
			t.Errorf("RecvTimeout: %v", err)
		}
		if _, ok := rx.TryRecv(); ok {
			t.Error("TryRecv delivered")
		}
	})
}

// The seed's timed receive parks once, so that a wake without a record ends it
// early. Aborted claims wake without a record.
func TestDeadlineIsADeadline(t *testing.T) {
	each(t, func(t *testing.T, shared bool, _ Strategy) {
		for _, s := range []Strategy{Park, Backoff} {
			synctest.Test(t, func(t *testing.T) {
				tx, rx := open(t, shared, 1024, s)
				stop := make(chan struct{})
				go func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(100 * time.Millisecond):
							c, err := tx.TryClaim(8)
							if err != nil {
								t.Error(err)
							}
							c.Abort()
							tx.Notify()
						}
					}
				}()
				start := time.Now()
				_, err := rx.RecvTimeout(time.Second)
				if err != os.ErrDeadlineExceeded {
					t.Errorf("error: %v", err)
				}
				if d := time.Since(start); d < time.Second || d > time.Second+2*maxSleep {
					t.Errorf("returned after %v, not 1s", d)
				}
				close(stop)
			})
		}
	}, Park)
}

func TestRecordsWithinTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tx, rx := open(t, false, 1024, Park)
		for i := range 3 { // the timer is used again each time
			time.AfterFunc(time.Second, func() {
				tx.TrySend([]byte{byte(i)})
			})
			rec, err := rx.RecvTimeout(2 * time.Second)
			if err != nil || rec[0] != byte(i) {
				t.Fatalf("%v, %v", rec, err)
			}
		}
		if _, err := rx.RecvTimeout(-1); err != os.ErrDeadlineExceeded {
			t.Fatal(err)
		}
	})
}

func TestContextEndsTheWait(t *testing.T) {
	each(t, func(t *testing.T, shared bool, s Strategy) {
		tx, rx := open(t, shared, 1024, s)
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(5*time.Millisecond, cancel)
		if _, err := rx.Recv(ctx); err != context.Canceled {
			t.Errorf("Recv: %v", err)
		}
		if err := rx.Wait(ctx); err != context.Canceled {
			t.Errorf("Wait: %v", err)
		}
		// A cancelled loop ends even if there is always something to receive,
		// and nothing is lost by it.
		tx.Send([]byte("kept"))
		if _, err := rx.Recv(ctx); err != context.Canceled {
			t.Errorf("Recv with a record there: %v", err)
		}
		if rec, err := rx.Recv(context.Background()); err != nil || string(rec) != "kept" {
			t.Errorf("%q, %v", rec, err)
		}
	})
}

func TestWaitAndDrain(t *testing.T) {
	each(t, func(t *testing.T, shared bool, s Strategy) {
		tx, rx := open(t, shared, 256, s)
		const n = 500
		go func() {
			for i := 0; i < n; {
				if tx.Send(binary.LittleEndian.AppendUint32(nil, uint32(i))) == nil {
					i++
				}
			}
			tx.Close()
		}()
		next := 0
		var err error
		for err == nil {
			if err = rx.Wait(t.Context()); err != nil {
				break
			}
			rx.Drain(3, func(_ int32, rec []byte) {
				if got := binary.LittleEndian.Uint32(rec); got != uint32(next) {
					t.Errorf("record %d: %d", next, got)
				}
				next++
			})
		}
		if err != io.EOF || next != n {
			t.Fatalf("received %d of %d, then %v", next, n, err)
		}
	})
}

func TestQuietCommitsAndOneNotify(t *testing.T) {
	each(t, func(t *testing.T, shared bool, _ Strategy) {
		synctest.Test(t, func(t *testing.T) {
			tx, rx := open(t, shared, 1024, Park)
			got := make(chan int)
			go func() {
				rx.Wait(context.Background())
				got <- rx.Drain(10, func(int32, []byte) {})
			}()
			synctest.Wait() // parked
			for range 3 {
				c, _ := tx.TryClaim(4)
				c.CommitQuiet()
			}
			synctest.Wait()
			select {
			case n := <-got:
				t.Fatalf("woken by a quiet commit, %d records", n)
			default:
			}
			tx.Notify()
			if n := <-got; n != 3 {
				t.Fatalf("%d records", n)
			}
		})
	}, Park)
}

func TestOpenClaimsAreAbandonedByTheLastClose(t *testing.T) {
	each(t, func(t *testing.T, shared bool, s Strategy) {
		tx, rx := open(t, shared, 1024, s)
		open, _ := tx.TryClaim(8)
		if shared {
			if err := tx.TrySend([]byte("behind")); err != nil {
				t.Fatal(err)
			}
		}
		tx.Close()
		if shared {
			if rec, err := rx.Recv(t.Context()); err != nil || string(rec) != "behind" {
				t.Fatalf("record behind the open claim: %q, %v", rec, err)
			}
		}
		if _, err := rx.Recv(t.Context()); err != io.EOF {
			t.Fatal(err)
		}
		if open.Commit() {
			t.Error("Commit of an abandoned claim succeeded")
		}
		open.Abort()
	})
}

// Whatever makes a record visible wakes a receiver that sleeps; a stall limit
// or a deadline must not have to make up for it.
func TestEverySendWakes(t *testing.T) {
	claim := func(tx sender) Claim {
		c, err := tx.TryClaim(4)
		if err != nil {
			panic(err)
		}
		return c
	}
	for name, send := range map[string]func(tx sender){
		"TrySend":            func(tx sender) { tx.TrySend([]byte("sent")) },
		"Send":               func(tx sender) { tx.Send([]byte("sent")) },
		"Commit":             func(tx sender) { claim(tx).Commit() },
		"CommitN":            func(tx sender) { claim(tx).CommitN(2) },
		"CommitQuiet+Notify": func(tx sender) { claim(tx).CommitQuiet(); tx.Notify() },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, shared bool, _ Strategy) {
				synctest.Test(t, func(t *testing.T) {
					tx, rx := open(t, shared, 1024, Park)
					time.AfterFunc(time.Second, func() { send(tx) })
					start := time.Now()
					if _, err := rx.Recv(t.Context()); err != nil || time.Since(start) != time.Second {
						t.Fatalf("after %v: %v", time.Since(start), err)
					}
				})
			}, Park)
		})
	}
}

func TestAbortWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tx, rx, _ := NewMPSC(1024, &Options{StallLimit: -1})
		hole, _ := tx.TryClaim(8)
		c, _ := tx.TryClaim(1)
		c.Commit()
		time.AfterFunc(time.Second, hole.Abort)
		if _, err := rx.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// The padding before a record that has to wait for the front of the ring is
// there for the receiver to step over, asleep or not: nothing else makes room.
func TestRecordOverHalfTheRing(t *testing.T) {
	each(t, func(t *testing.T, shared bool, _ Strategy) {
		synctest.Test(t, func(t *testing.T) {
			tx, rx := open(t, shared, 64, Park)
			claims := func(rec []byte) error {
				c, err := tx.TryClaim(len(rec))
				if err == nil {
					c.Commit()
				}
				return err
			}
			tries := []func([]byte) error{tx.TrySend, tx.Send, claims}
			go func() {
				defer tx.Close()
				for i := range 6 {
					synctest.Wait() // the receiver sleeps
					rec := make([]byte, 40-i%2*24)
					err := tries[i%3](rec)
					for n := 0; err == queue.ErrFull && n < 10; n++ {
						synctest.Wait()
						err = tries[i%3](rec)
					}
					if err != nil {
						t.Errorf("record %d: %v", i, err)
					}
				}
			}()
			for range rx.Records(t.Context()) {
			}
		})
	}, Park)
}

func TestCloseWakesAParkedReceiver(t *testing.T) {
	each(t, func(t *testing.T, shared bool, _ Strategy) {
		synctest.Test(t, func(t *testing.T) {
			tx, rx := open(t, shared, 1024, Park)
			time.AfterFunc(time.Second, func() { tx.Close() })
			if _, err := rx.Recv(t.Context()); err != io.EOF {
				t.Fatal(err)
			}
		})
	}, Park)
}

// A record that is there when the deadline passes is received, even if nobody
// announced it.
func TestLastLookAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tx, rx := open(t, false, 1024, Park)
		time.AfterFunc(time.Second/2, func() {
			c, _ := tx.TryClaim(1)
			c.CommitQuiet()
		})
		if rec, err := rx.RecvTimeout(time.Second); err != nil || len(rec) != 1 {
			t.Fatal(rec, err)
		}
	})
}

// A claim that nobody settles does not keep the receiver from what is behind
// it for longer than the limit, whether the receiver was asleep or not.
func TestStalledClaimIsPassed(t *testing.T) {
	for _, wait := range []Strategy{Park, Backoff} {
		for _, d := range []struct {
			name         string
			limit, takes time.Duration
		}{
			{"default", 0, 10 * time.Second},
			{"shorter", time.Second, time.Second},
		} {
			t.Run(d.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tx, rx, _ := NewMPSC(1024, &Options{Wait: wait, StallLimit: d.limit})
					time.AfterFunc(time.Second, func() {
						leaked, _ := tx.TryClaim(8)
						tx.TrySend([]byte("behind"))
						time.Sleep(time.Minute)
						if leaked.Commit() {
							t.Error("the late Commit published something")
						}
						tx.TrySend([]byte("after"))
						tx.Close()
					})
					start := time.Now()
					rec, err := rx.Recv(t.Context())
					if string(rec) != "behind" || err != nil {
						t.Fatalf("%q, %v", rec, err)
					}
					if took := time.Since(start) - time.Second; took < d.takes || took > d.takes+5*maxSleep {
						t.Errorf("after %v, want %v", took, d.takes)
					}
					if rec, err := rx.Recv(t.Context()); string(rec) != "after" || err != nil {
						t.Fatalf("%q, %v", rec, err)
					}
				})
			})
		}
	}
}

// A slow owner is waited for when there is no limit, and a deadline holds
// while a claim stalls.
func TestStalledClaimWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tx, rx, _ := NewMPSC(1024, &Options{StallLimit: -1})
		slow, _ := tx.TryClaim(4)
		tx.TrySend([]byte("behind"))
		if _, err := rx.RecvTimeout(time.Hour); err != os.ErrDeadlineExceeded {
			t.Fatal(err)
		}
		copy(slow.Bytes(), "slow")
		if !slow.Commit() {
			t.Fatal("passed")
		}
		for _, want := range []string{"slow", "behind"} {
			if rec, err := rx.Recv(t.Context()); string(rec) != want || err != nil {
				t.Fatalf("%q, %v", rec, err)
			}
		}
	})
}

func TestClone(t *testing.T) {
	tx, rx, _ := NewMPSC(1024, nil)
	a := tx.Clone()
	tx.Close()
	if tx.TrySend(nil) != ErrClosed {
		t.Error("a closed handle sends")
	}
	if b := tx.Clone(); b.TrySend(nil) != ErrClosed {
		t.Error("the clone of a closed handle sends")
	}
	if err := a.TrySend([]byte("a")); err != nil {
		t.Error("the other handle is closed with the first:", err)
	}
	a.Close()
	if b := a.Clone(); b.TrySend(nil) != ErrClosed {
		t.Error("a clone came back to life after the last Close")
	}
	rx.Recv(t.Context())
	if _, err := rx.Recv(t.Context()); err != io.EOF {
		t.Error(err)
	}
}

// TestCloseAgainstSend: whatever a sender was told is true. Every record whose
// send returned nil is received, and none whose send failed.
func TestCloseAgainstSend(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	for round := range rounds {
		tx, rx, _ := NewMPSC(4096, &Options{Wait: strategies[[]string{"Park", "Backoff"}[round%2]]})
		var sent, received atomic.Int64
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for i := range 20 {
					var err error
					if i%2 == 0 {
						err = tx.TrySend([]byte{1})
					} else {
						var c Claim
						if c, err = tx.TryClaim(1); err == nil {
							c.Bytes()[0] = 1
							if !c.Commit() {
								err = ErrClosed
							}
						}
					}
					switch err {
					case nil:
						sent.Add(1)
					case ErrClosed:
						return
					case queue.ErrFull:
					default:
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			for range round % 50 {
				runtime.Gosched()
			}
			tx.Close()
		})
		for rec := range rx.Records(t.Context()) {
			if rec[0] != 1 {
				t.Error("a record that nobody filled")
			}
			received.Add(1)
		}
		wg.Wait()
		if sent.Load() != received.Load() {
			t.Fatalf("round %d: %d sent, %d received", round, sent.Load(), received.Load())
		}
	}
}

func TestErrorsAreQueueErrors(t *testing.T) {
	each(t, func(t *testing.T, shared bool, s Strategy) {
		tx, _ := open(t, shared, 64, s)
		if err := tx.Send(make([]byte, 100)); err != queue.ErrTooLarge {
			t.Error(err)
		}
		tx.TrySend(make([]byte, 40))
		if err := tx.Send(make([]byte, 40)); err != queue.ErrFull {
			t.Error(err)
		}
		if _, err := tx.Claim(40); err != queue.ErrFull {
			t.Error(err)
		}
	}, Park)
	if _, _, err := NewSPSC(0, nil); err == nil {
		t.Error("capacity 0 accepted")
	}
	if _, _, err := NewMPSC(64, &Options{Wait: 9}); err == nil {
		t.Error("unknown strategy accepted")
	}
	Claim{}.Abort()
}

func TestTypes(t *testing.T) {
	tx, rx, _ := NewSPSC(1024, nil)
	c, _ := tx.TryClaimTyped(42, 3)
	copy(c.Bytes(), "abc")
	c.CommitN(2)
	if rec, ok := rx.TryRecv(); !ok || string(rec) != "ab" || rx.Type() != 42 {
		t.Fatal(rec, ok, rx.Type())
	}
	c, _ = tx.TryClaimTyped(7, 1)
	c.Commit()
	s := rx.Peek(1 << 10)
	if s.Records() != 1 {
		t.Fatal(s.Records())
	}
	rx.ReleaseTo(s.End())
}

func TestAllocations(t *testing.T) {
	each(t, func(t *testing.T, shared bool, s Strategy) {
		tx, rx := open(t, shared, 1<<16, s)
		rec := make([]byte, 64)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for name, f := range map[string]func(){
			"Send": func() { tx.Send(rec); rx.Recv(ctx) },
			"Claim": func() {
				c, _ := tx.Claim(64)
				c.Commit()
				rx.RecvTimeout(time.Second)
			},
			"TryClaim, Wait, Drain": func() {
				c, _ := tx.TryClaim(64)
				c.CommitQuiet()
				tx.Notify()
				rx.Wait(ctx)
				rx.Drain(1, func(int32, []byte) {})
			},
			"RecvTimeout of nothing": func() { rx.RecvTimeout(time.Microsecond) },
		} {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}

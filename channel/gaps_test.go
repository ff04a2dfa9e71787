package channel

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/invariants"
)

// Two of the cases that no test of Agrona's or Aeron's rings covers; see
// queue/gaps_test.go for the others: a close against the last record, and a
// wake-up against the receiver's way to sleep. A sender's steps happen at every
// look of the receiver, before it and after it, from the first to the last
// before it sleeps, and while it sleeps. A lost wake-up or record leaves the
// receiver asleep with everybody else gone, which synctest reports.
func TestSenderAtEveryLook(t *testing.T) {
	type script struct {
		name  string
		steps func(tx sender) []func()
		want  []int // records received after each step, at least
	}
	scripts := []script{
		{"the last record, then Close", func(tx sender) []func() {
			return []func(){func() { tx.TrySend([]byte("last")) }, func() { tx.Close() }}
		}, []int{1, 1}},
		{"Close of an empty channel", func(tx sender) []func() {
			return []func(){func() {}, func() { tx.Close() }}
		}, []int{0, 0}},
		{"quiet commit, then Notify, then Close", func(tx sender) []func() {
			return []func(){func() {
				c, _ := tx.TryClaim(1)
				c.CommitQuiet()
			}, func() { tx.Notify() }, func() { tx.Close() }}
		}, []int{0, 1, 1}},
		{"claim, commit, then Close with a claim open", func(tx sender) []func() {
			var c Claim
			return []func(){func() { c, _ = tx.TryClaim(1) }, func() { c.Commit(); tx.TryClaim(1) }, func() { tx.Close() }}
		}, []int{0, 1, 1}},
		{"claim and abort, then Close", func(tx sender) []func() {
			var c Claim
			return []func(){func() { c, _ = tx.TryClaim(1) }, func() { c.Abort() }, func() { tx.Close() }}
		}, []int{0, 0, 0}},
	}
	for _, sc := range scripts {
		t.Run(sc.name, func(t *testing.T) {
			each(t, func(t *testing.T, shared bool, s Strategy) {
				looks := 2 * 2 * (waitYields + 4) // before and after Ready and Drained
				stride := 1
				if testing.Short() || invariants.Enabled { // with -race
					stride = 5
				}
				for first := 0; first <= looks; first += stride {
					for second := first; second <= looks; second += 2*stride + first%3 {
						synctest.Test(t, func(t *testing.T) {
							atLooks(t, shared, s, sc.steps, sc.want, first, second)
						})
					}
				}
			})
		})
	}
}

// atLooks has a sender's first step happen at one of the receiver's looks and
// the others at another; what has not happened when the receiver sleeps,
// happens then.
func atLooks(t *testing.T, shared bool, s Strategy, script func(sender) []func(), want []int, first, second int) {
	tx, rx := open(t, shared, 64, s)
	rx.procs = 1 // no spins: fewer looks until it sleeps
	steps := script(tx)
	done := 0
	var asleep atomic.Bool
	w := watch(rx)
	w.at = func(look int) {
		for !asleep.Load() && done < len(steps) && (look == second || look == first && done == 0) {
			done++
			steps[done-1]()
		}
	}
	end := make(chan error, 1)
	var got atomic.Int64
	go func() {
		for {
			_, err := rx.Recv(context.Background())
			if err != nil {
				end <- err
				return
			}
			got.Add(1)
		}
	}()
	if s != Spin { // which never sleeps, and so has looked often enough
		synctest.Wait()
		if s == Park && done > 0 && done < len(steps) && got.Load() < int64(want[done-1]) {
			t.Errorf("at looks %d and %d: asleep after step %d with %d records received, want %d at least", first, second, done-1, got.Load(), want[done-1])
		}
		for asleep.Store(true); done < len(steps); done++ {
			steps[done]()
			synctest.Wait()
			if s == Backoff {
				time.Sleep(2 * maxSleep)
				synctest.Wait()
			}
			if got.Load() < int64(want[done]) {
				t.Errorf("at looks %d and %d: %d records received after step %d, want %d at least", first, second, got.Load(), done, want[done])
			}
		}
	}
	if err := <-end; err != io.EOF || got.Load() != int64(want[len(want)-1]) {
		t.Fatalf("at looks %d and %d: %d records, want %d, then %v", first, second, got.Load(), want[len(want)-1], err)
	}
}

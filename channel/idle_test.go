package channel

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A parked receiver does nothing at all: in a day without records it does not
// look once. Nor does it after a record, and after a claim that it went on
// without. (What that costs in CPU time, BenchmarkIdle reports.)
func TestParkedReceiverDoesNothing(t *testing.T) {
	each(t, func(t *testing.T, shared bool, _ Strategy) {
		synctest.Test(t, func(t *testing.T) {
			tx, rx := open(t, shared, 1024, Park)
			w := watch(rx)
			done := make(chan error)
			go func() {
				for {
					if _, err := rx.Recv(context.Background()); err != nil {
						done <- err
						return
					}
				}
			}()
			idle := func(after string) {
				t.Helper()
				synctest.Wait()
				before := w.looks.Load()
				time.Sleep(forever)
				synctest.Wait()
				if n := w.looks.Load() - before; n != 0 {
					t.Errorf("after %s: %d looks in a day", after, n)
				}
				// Ready and Drained, each counted before and after, for each
				// turn of the loop, once more when armed, and Next.
				if limit := int64(4*(waitSpins+waitYields+3) + 4); before > limit {
					t.Errorf("after %s: %d looks until it sleeps, want at most %d", after, before, limit)
				}
				w.looks.Store(0)
			}
			idle("the start")
			tx.TrySend([]byte("x"))
			idle("a record")
			c, _ := tx.TryClaim(8)
			idle("a claim")
			c.Commit()
			idle("its commit")
			tx.Notify()
			idle("a Notify without a record")
			tx.Close()
			<-done
		})
	}, Park)
}

// A claim that stalls costs a look now and then, and nothing once it is passed.
func TestParkedBehindAStalledClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tx, rx, _ := NewMPSC(1024, &Options{StallLimit: time.Second})
		w := watch(rx)
		go rx.Recv(context.Background())
		synctest.Wait()
		tx.TryClaim(8) // leaked; its sender does not wake anybody
		tx.Notify()
		synctest.Wait()
		w.looks.Store(0)
		time.Sleep(forever)
		synctest.Wait()
		if limit := int64(3 * 4 * (waitSpins + waitYields + 3)); w.looks.Load() > limit {
			t.Errorf("%d looks in a day behind one stalled claim, want at most %d", w.looks.Load(), limit)
		}
		if n := rx.Stats().Abandoned; n != 1 {
			t.Errorf("%d claims passed", n)
		}
		tx.Close()
	})
}

// With Backoff a receiver looks once a millisecond, and no sender touches it.
func TestBackoffLooksOnceAMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tx, rx := open(t, false, 1024, Backoff)
		w := watch(rx)
		done := make(chan error)
		go func() {
			_, err := rx.Recv(context.Background())
			done <- err
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		before := w.looks.Load()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := w.looks.Load() - before; n > 4*10_001 {
			t.Errorf("%d looks in 10 s", n/4)
		}
		tx.Notify()
		synctest.Wait()
		if n := w.looks.Load() - before; n > 4*10_001 {
			t.Error("a Notify has woken it")
		}
		tx.Close()
		<-done
	})
}

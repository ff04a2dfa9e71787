package recorder

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// A record that is committed after the archiver's last look and before it arms
// the parker wakes nobody; the archiver has to look once more.
func TestSleepLooksOnceMore(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			o, _ := (*Options)(nil).withDefaults()
			r := newRecorder(f, o)
			a := newArchiver(r)
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
			if _, err := p.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			a.sleep() // blocks for ever if it does not look
			if len(f.all()) != 1 {
				t.Error("the record is not in the archive")
			}
			r.stop()
			a.sleep()
			a.finish()
		})
	})
}

// An open claim of a shared producer holds up the records behind it, until it
// is given back.
func TestAbortWakesTheArchiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		r := startFake(t, f, nil)
		p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
		c, err := p.TryClaim(1, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = p.Write([]byte("behind"))
		synctest.Wait()
		if len(f.all()) != 0 {
			t.Fatal("a record overtook an open claim")
		}
		c.Abort()
		synctest.Wait()
		if len(f.all()) != 1 {
			t.Error("the record behind an aborted claim is not in the archive")
		}
		mustClose(t, r)
	})
}

// A lane's progress does not wait for the other lanes' writes.
func TestProgressIsPublishedPerBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := new(fakeArchive)
		f.before = func(n int, _ []byte) (int, error) {
			<-gate
			return 0, nil
		}
		r := startFake(t, f, nil)
		a, b := mustProducer(t, r, "a", nil), mustProducer(t, r, "b", nil)
		_, _ = a.Write([]byte("a"))
		_, _ = b.Write([]byte("b"))
		gate <- struct{}{} // one of them
		synctest.Wait()
		gone := time.AfterFunc(time.Hour, func() { close(gate) })
		first := a
		if f.all()[0].Stream == 2 {
			first = b
		}
		if err := first.WaitDurable(t.Context()); err != nil {
			t.Error(err)
		}
		if !gone.Stop() {
			t.Error("WaitDurable waited for another lane's write")
		}
		close(gate)
		mustClose(t, r)
	})
}

// With Stage, a producer that writes to its record after Commit cannot change
// what is checksummed and written; without, it can, which shows that nothing
// is copied.
func TestStageCopies(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		for _, stage := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f := new(fakeArchive)
				var rec []byte
				f.before = func(int, []byte) (int, error) { copy(rec, "later"); return 0, nil }
				r := startFake(t, f, &Options{Stage: stage})
				p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
				c, err := p.TryClaim(1, 0, 5)
				if err != nil {
					t.Fatal(err)
				}
				rec = c.Bytes()
				copy(rec, "first")
				c.Commit()
				mustClose(t, r)
				want := "later"
				if stage {
					want = "first"
				}
				if got := f.all()[0].Payload; !bytes.Equal(got, []byte(want)) {
					t.Errorf("stage %v: record %q, want %q", stage, got, want)
				}
			})
		}
	})
}

// The lane of a producer that closes goes at once, though nothing else happens.
func TestProducerCloseWakesTheArchiver(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			r := startFake(t, new(fakeArchive), nil)
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
			synctest.Wait()
			_ = p.Close()
			synctest.Wait()
			if n := r.Stats().LaneMemory; n != 0 {
				t.Errorf("%d bytes of lanes", n)
			}
			mustClose(t, r)
		})
	})
}

// A commit that meets the archiver's last look waits for the end of that look,
// and then knows whether it was seen.
func TestCommitWhileFreezing(t *testing.T) {
	for _, seen := range []bool{true, false} {
		o, _ := (*Options)(nil).withDefaults()
		r := newRecorder(new(fakeArchive), o)
		p := mustProducer(t, r, "a", nil)
		c, err := p.TryClaim(1, 0, 4)
		if err != nil {
			t.Fatal(err)
		}
		r.phase.Store(freezing)
		result := make(chan bool)
		go func() { result <- c.Commit() }()
		select {
		case <-result:
			t.Fatal("the commit did not wait")
		case <-time.After(10 * time.Millisecond):
		}
		if seen {
			p.lane.limit.Store(1 << 20)
		}
		r.phase.Store(frozen)
		if got := <-result; got != seen {
			t.Errorf("committed %v, seen %v", got, seen)
		}
	}
}

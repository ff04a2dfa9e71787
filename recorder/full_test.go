package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// errFull is what a journal says when the disk is full.
var errFull = &journal.WriteError{Op: "write", File: "x.lbj", Err: syscall.ENOSPC, Full: true}

// fullDisk is an archive that takes nothing while full is set, or only appends of up to room bytes.
type fullDisk struct {
	fakeArchive
	full  atomic.Bool
	room  atomic.Int64
	tries atomic.Int64
}

func newFullDisk() *fullDisk {
	f := new(fullDisk)
	f.before = func(_ int, frames []byte) (int, error) {
		if f.full.Load() && int64(len(frames)) > f.room.Load() {
			f.tries.Add(1)
			return 0, errFull
		}
		return 0, nil
	}
	return f
}

// A full disk stops nobody for good: the lanes fill, the policy decides, and when there is space again everything goes on. What was lost
// meanwhile is in the archive, at its place.
func TestFullDiskIsWaitedFor(t *testing.T) {
	for _, policy := range []Overload{OverloadDrop, OverloadWait, OverloadFail} {
		t.Run(policy.String(), func(t *testing.T) {
			bothKinds(t, func(t *testing.T, shared bool) {
				synctest.Test(t, func(t *testing.T) {
					f := newFullDisk()
					r := startFake(t, &f.fakeArchive, &Options{LaneSize: 1024, Journal: journal.Options{MaxBlock: 4096}})
					p := mustProducer(t, r, "a", &ProducerOptions{Overload: policy, Shared: shared})
					offered, refused := 0, 0
					write := func(n int) {
						for range n {
							ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
							c, err := p.Claim(ctx, journal.KindData, 0, 10)
							cancel()
							if err == nil {
								c.Commit()
							} else {
								refused++
							}
							offered++
						}
					}
					write(3)
					synctest.Wait()
					f.full.Store(true)
					write(100)
					time.Sleep(time.Minute)
					if n := f.tries.Load(); n < 100 || n > 1200 {
						t.Errorf("%d attempts to write to a full disk in a minute", n)
					}
					if s := r.Stats(); s.Err != nil || s.Lag < time.Minute {
						t.Errorf("while the disk is full: %v, lag %v", s.Err, s.Lag)
					}
					f.full.Store(false)
					time.Sleep(time.Second)
					write(20)
					mustClose(t, r)
					got := replay(t, f.all(), 1)
					s := p.Stats()
					if len(got.data)+int(got.lost)+int(s.Refused) != offered || got.lost != s.Lost || len(got.data) < 23 {
						t.Errorf("%d in the archive and %d lost there, %d refused, %d offered; stats %+v", len(got.data), got.lost, s.Refused, offered, s)
					}
					if (policy == OverloadDrop) != (got.lost > 0) || (policy == OverloadDrop) != (s.Refused == 0) {
						t.Errorf("%v: %d lost, %d refused", policy, got.lost, s.Refused)
					}
				})
			})
		})
	}
}

// Close on a full disk does not wait for space: it names what is not written, and so does whoever waits for it. If there is room for a loss
// record at least, the archive says it, too.
func TestCloseOnAFullDisk(t *testing.T) {
	for _, room := range []int64{0, 200} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			bothKinds(t, func(t *testing.T, shared bool) {
				synctest.Test(t, func(t *testing.T) {
					f := newFullDisk()
					f.room.Store(room)
					r := startFake(t, &f.fakeArchive, &Options{LaneSize: 1024})
					p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
					for range 2 {
						_, _ = p.Write(make([]byte, 10))
						synctest.Wait()
					}
					f.full.Store(true)
					for range 40 {
						_, _ = p.Write(make([]byte, 100))
					}
					time.Sleep(time.Second)
					dropped := p.Stats().Lost
					waited := make(chan error, 1)
					go func() { waited <- p.WaitDurable(t.Context()) }()
					synctest.Wait()
					began := time.Now()
					err := r.Close(t.Context())
					if took := time.Since(began); took > maxFullPause {
						t.Errorf("Close took %v", took)
					}
					var lost *NotWrittenError
					if !errors.As(err, &lost) || len(lost.Streams) != 1 || !errors.Is(err, syscall.ENOSPC) {
						t.Fatal("Close:", err)
					}
					if n := lost.Streams[0]; n.Records != 40-dropped || n.Bytes != 100*n.Records || n.Records == 0 {
						t.Errorf("not written: %+v, %d of 40 were dropped before", n, dropped)
					}
					if err := <-waited; !errors.As(err, &lost) || !errors.Is(err, syscall.ENOSPC) {
						t.Error("WaitDurable:", err)
					}
					if s := p.Stats(); s.Records != 2 || s.Lost != 40 || s.LagRecords != 0 {
						t.Errorf("stats %+v", s)
					}
					got := replay(t, f.all(), 1)
					if len(got.data) != 2 || (room > 0) != (got.lost == 40) {
						t.Errorf("the archive has %d records and says that %d are lost", len(got.data), got.lost)
					}
				})
			})
		})
	}
}

// Losses that a full disk has no room for at Close are not forgotten in silence;
// those that it takes in the end stand where they belong.
func TestCloseOwesLosses(t *testing.T) {
	for _, refused := range []int64{1, 2, 1 << 40} {
		t.Run(fmt.Sprint(refused), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFullDisk()
				full := f.before
				f.before = func(n int, frames []byte) (int, error) {
					if f.tries.Load() >= refused {
						f.full.Store(false)
					}
					return full(n, frames)
				}
				r := startFake(t, &f.fakeArchive, nil)
				opts := &ProducerOptions{Shared: true}
				p, q := mustProducer(t, r, "a", opts), mustProducer(t, r, "a", opts)
				mustWrite(t, p, "0")
				synctest.Wait()
				f.full.Store(true)
				p.Lose(3, 30, journal.LossSource)
				q.Lose(5, 50, journal.LossTooLarge)
				err := r.Close(t.Context())
				got := replay(t, f.all(), 1)
				if told, all := err != nil, got.lost == 8; told == all || all != (refused < 3) {
					t.Errorf("Close: %v; the archive says that %d of 8 records are lost", err, got.lost)
				}
				if err != nil && !errors.Is(err, syscall.ENOSPC) {
					t.Error(err)
				}
			})
		})
	}
}

// A batch larger than a block is written block by block: what the journal took before the disk was full is not written twice.
func TestFullDiskInTheMiddleOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, n := new(fakeArchive), 0
		f.before = func(_ int, frames []byte) (int, error) {
			if len(frames) > 4096 {
				t.Errorf("%d bytes in one call", len(frames))
			}
			if n++; n%3 == 2 {
				return 0, errFull
			}
			return 0, nil
		}
		r := startFake(t, f, &Options{LaneSize: 256 << 10, Journal: journal.Options{MaxBlock: 4096}})
		p := mustProducer(t, r, "a", nil)
		for i := range 1000 {
			if _, err := p.Write(fmt.Appendf(nil, "%100d", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.WaitDurable(t.Context()); err != nil {
			t.Error(err)
		}
		mustClose(t, r)
		got := replay(t, f.all(), 1)
		for i, rec := range got.data {
			if want := fmt.Sprintf("%100d", i); string(rec.Payload) != want {
				t.Fatalf("record %d is %q", i, rec.Payload)
			}
		}
		if len(got.data) != 1000 || got.lost != 0 {
			t.Errorf("%d records, %d lost", len(got.data), got.lost)
		}
	})
}

// A Close that runs out of time gives records up, and a disk that is full for the
// moment does not take the news: the error says both.
func TestCloseOutOfTimeOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		f.before = func(n int, _ []byte) (int, error) {
			if n == 0 {
				time.Sleep(1500 * time.Millisecond)
				return 0, nil
			}
			return 0, errFull
		}
		r := startFake(t, f, nil)
		p := mustProducer(t, r, "a", nil)
		mustWrite(t, p, "first")
		synctest.Wait() // it is being written
		mustWrite(t, p, "second")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := r.Close(ctx)
		var lost *NotWrittenError
		if !errors.As(err, &lost) || !slices.Equal(lost.Streams, []StreamLoss{{"a", 1, 6}}) ||
			!errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
		if n := len(f.all()); n != 1 {
			t.Errorf("%d records in the archive", n)
		}
	})
}

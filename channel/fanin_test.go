package channel

import (
	"encoding/binary"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Senders come and go; everything they sent arrives, each sender's records in
// order, and the end comes when the last one and the FanIn are closed. Nothing
// hides a lost wake-up: synctest would report a deadlock.
func TestFanInBlocks(t *testing.T) {
	for _, wait := range []Strategy{Park, Backoff} {
		synctest.Test(t, func(t *testing.T) {
			f, rx, err := NewFanIn(256, &Options{Wait: wait})
			if err != nil {
				t.Fatal(err)
			}
			const senders, records = 5, 200
			var wg sync.WaitGroup
			for id := range senders {
				wg.Go(func() {
					time.Sleep(time.Duration(id) * time.Second)
					tx, err := f.NewSender()
					if err != nil {
						t.Error(err)
						return
					}
					defer tx.Close()
					for i := 0; i < records; {
						if tx.Send([]byte{byte(id), byte(i)}) == nil {
							i++
						} else {
							time.Sleep(time.Millisecond) // the clock of the bubble stands while anybody runs
						}
					}
				})
			}
			go func() {
				wg.Wait()
				time.Sleep(time.Second)
				f.Close()
			}()
			var next [senders]byte
			for rec, err := range all(t.Context(), rx) {
				if err == io.EOF {
					break
				}
				if err != nil || rec[1] != next[rec[0]] {
					t.Fatalf("%v, %v, want number %d", rec, err, next[rec[0]])
				}
				next[rec[0]]++
			}
			for id, n := range next {
				if n != records {
					t.Errorf("sender %d: %d records", id, n)
				}
			}
			if _, err := f.NewSender(); err != ErrClosed {
				t.Errorf("NewSender after Close: %v", err)
			}
			if err := f.Close(); err != ErrClosed {
				t.Errorf("second Close: %v", err)
			}
		})
	}
}

func TestFanInClosedBeforeItsSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rx, _ := NewFanIn(256, nil)
		tx, _ := f.NewSender()
		f.Close()
		time.AfterFunc(time.Second, func() {
			tx.TrySend([]byte("still open"))
			tx.Close()
		})
		if rec, err := rx.Recv(t.Context()); string(rec) != "still open" || err != nil {
			t.Fatalf("%q, %v", rec, err)
		}
		if _, err := rx.Recv(t.Context()); err != io.EOF {
			t.Fatal(err)
		}
	})
}

func TestFanInEmptyEndsAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rx, _ := NewFanIn(256, nil)
		time.AfterFunc(time.Second, func() { f.Close() })
		if _, err := rx.Recv(t.Context()); err != io.EOF {
			t.Fatal(err)
		}
	})
}

// A merge by timestamp holds a record back for the grace while another lane is
// empty, and the receiver wakes by itself when that has passed.
func TestFanInByTimeWaitsForTheGrace(t *testing.T) {
	for _, wait := range []Strategy{Park, Backoff} {
		synctest.Test(t, func(t *testing.T) {
			const grace = 64 * time.Millisecond
			f, rx, _ := NewFanInByTime(256, grace, &Options{Wait: wait})
			a, _ := f.NewSender()
			b, _ := f.NewSender()
			stamp := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
			start := time.Now()
			time.AfterFunc(time.Second, func() { a.TrySend(stamp(20)) })
			sent := make(chan struct{})
			time.AfterFunc(time.Second+grace/2, func() { b.TrySend(stamp(10)); close(sent) })
			for _, d := range []struct {
				stamp uint64
				after time.Duration
			}{{10, time.Second + grace/2}, {20, time.Second + grace}} {
				rec, err := rx.Recv(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				after := time.Since(start)
				if got := binary.LittleEndian.Uint64(rec); got != d.stamp || after < d.after-grace || after > d.after+grace/16+2*maxSleep {
					t.Errorf("%d after %v, want %d after %v", got, after, d.stamp, d.after)
				}
				if rx.Late() {
					t.Error("late")
				}
			}
			<-sent
			b.TrySend(stamp(15))
			if _, err := rx.Recv(t.Context()); err != nil || !rx.Late() {
				t.Errorf("a record behind its successor: %v, late %v", err, rx.Late())
			}
		})
	}
}

package channel

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/queue"
)

func TestPriorityUrgentFirst(t *testing.T) {
	tx, rx, err := NewPriority(3, 4096, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * queue.UrgentRun {
		tx[0].TrySend([]byte{0})
		if i < 3 {
			tx[1+i%2].TrySend([]byte{byte(1 + i%2)})
		}
	}
	for _, s := range tx {
		s.Close()
	}
	waited := 0
	counts := map[int]int{}
	for rec := range rx.Records(t.Context()) {
		l := rx.Level()
		if int(rec[0]) != l {
			t.Fatalf("record of level %d as level %d", rec[0], l)
		}
		counts[l]++
		if l == 0 {
			waited++
		} else if waited > queue.UrgentRun && counts[1]+counts[2] == 1 {
			t.Fatalf("the first less urgent record waited for %d", waited)
		}
	}
	if counts[1]+counts[2] != 3 || counts[0] == 0 {
		t.Fatal(counts)
	}
}

// A sleeping receiver is woken by any level, and the end comes when all levels
// are closed, clones included.
func TestPriorityBlocks(t *testing.T) {
	for _, wait := range []Strategy{Park, Backoff} {
		synctest.Test(t, func(t *testing.T) {
			tx, rx, _ := NewPriority(2, 256, &Options{Wait: wait})
			clone := tx[1].Clone()
			time.AfterFunc(time.Second, func() { tx[0].TrySend([]byte("urgent")); tx[0].Close() })
			time.AfterFunc(2*time.Second, func() { tx[1].Close() })
			time.AfterFunc(3*time.Second, func() { clone.TrySend([]byte("normal")); clone.Close() })
			start := time.Now()
			for i, want := range []string{"urgent", "normal"} {
				rec, err := rx.Recv(t.Context())
				if string(rec) != want || err != nil || rx.Level() != i {
					t.Fatalf("%q, %v, level %d", rec, err, rx.Level())
				}
			}
			if _, err := rx.Recv(t.Context()); err != io.EOF || time.Since(start) > 3*time.Second+2*maxSleep {
				t.Fatal(err, time.Since(start))
			}
		})
	}
}

// A stalled claim holds up its level only, and that only for the limit.
func TestPriorityStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tx, rx, _ := NewPriority(2, 256, &Options{StallLimit: time.Second})
		tx[0].TryClaim(8)
		tx[0].TrySend([]byte("behind"))
		tx[1].TrySend([]byte("other level"))
		start := time.Now()
		for _, want := range []string{"other level", "behind"} {
			if rec, err := rx.Recv(t.Context()); string(rec) != want || err != nil {
				t.Fatalf("%q, %v", rec, err)
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("after %v", took)
		}
	})
}

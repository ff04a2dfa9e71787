package recorder

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Every write that returned nil before or while the recorder was closed is in
// the archive, and no other.
func TestCloseDuringWrites(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		for round := range scaled(150) {
			f := new(fakeArchive)
			r := startFake(t, f, &Options{LaneSize: 4096})
			const writers = 2
			var acked [writers][]int
			var wg sync.WaitGroup
			var all *Producer
			if shared {
				all = mustProducer(t, r, "a", &ProducerOptions{Shared: true})
			}
			for i := range writers {
				p := all
				if !shared {
					p = mustProducer(t, r, string(rune('a'+i)), &ProducerOptions{Overload: Overload(i)})
				}
				wg.Go(func() {
					var buf []byte
					for n := 0; ; n++ {
						buf = record(buf, i, n, n%30)
						_, err := p.Write(buf)
						if err == nil {
							acked[i] = append(acked[i], n)
						} else if errors.Is(err, ErrClosed) {
							return
						}
						if n%64 == 0 {
							runtime.Gosched() // for a machine with one processor
						}
					}
				})
			}
			for range rand.IntN(200) {
				runtime.Gosched()
			}
			mustClose(t, r)
			wg.Wait()

			var archived [writers][]int
			for _, rec := range f.all() {
				if rec.Kind == journal.KindData {
					writer, number := parse(t, rec.Payload)
					archived[writer] = append(archived[writer], number)
				}
			}
			for i := range writers {
				if !slices.Equal(acked[i], archived[i]) {
					t.Fatalf("round %d, writer %d: %d writes were acknowledged, %d are in the archive", round, i, len(acked[i]), len(archived[i]))
				}
			}
		}
	})
}

// The same race, forced: a claim that is open while the recorder closes, and
// committed at each possible moment.
func TestCommitAfterClose(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		f := new(fakeArchive)
		r := startFake(t, f, nil)
		p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
		if _, err := p.Write([]byte("kept")); err != nil {
			t.Fatal(err)
		}
		c, err := p.TryClaim(1, 0, 4)
		if err != nil {
			t.Fatal(err)
		}
		copy(c.Bytes(), "late")
		mustClose(t, r)
		if c.CommitN(3) {
			t.Error("a commit behind Close says true")
		}
		if n := len(f.all()); n != 1 {
			t.Errorf("%d records", n)
		}
		if s := p.Stats(); s.Records != 1 || s.Lost != 1 || s.LostBytes != 3 || s.LagRecords != 0 {
			t.Errorf("stats %+v", s)
		}
		if err := p.WaitDurable(t.Context()); err != nil {
			t.Error("the record that was committed is durable:", err)
		}
	})
}

func TestCommitAfterProducerClose(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		f := new(fakeArchive)
		r := startFake(t, f, &Options{MemoryLimit: DefaultLaneSize})
		p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
		c, err := p.TryClaim(1, 0, 4)
		if err != nil {
			t.Fatal(err)
		}
		_ = p.Close()
		mustProducer(t, r, "b", nil) // waits for the lane of a, open claim or not
		if c.Commit() {
			t.Error("a commit behind Close says true")
		}
		if _, err := p.TryClaim(1, 0, 4); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if _, err := p.Write(make([]byte, p.MaxRecord()+1)); !errors.Is(err, ErrClosed) {
			t.Error("too large, and closed:", err)
		}
		mustClose(t, r)
		got := replay(t, f.all(), 1)
		if s := p.Stats(); s.Lost != 1 || s.Refused != 2 || got.next != 1 || len(got.losses) != 1 || got.losses[0].Reason != journal.LossClosed {
			t.Errorf("stats %+v, archive %+v", s, got)
		}
	})
}

func TestCloseTwice(t *testing.T) {
	r := startFake(t, new(fakeArchive), nil)
	p := mustProducer(t, r, "a", nil)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := r.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := p.Write(nil); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	p.Lose(1, 1, journal.LossSource)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// When Close runs out of time, what is in the lanes is given up: counted,
// named in the error, and recorded in the archive, which is sealed.
func TestCloseOutOfTime(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			f.before = func(int, []byte) (int, error) { time.Sleep(300 * time.Millisecond); return 0, nil }
			r := startFake(t, f, &Options{LaneSize: 1024})
			opts := &ProducerOptions{Shared: shared}
			a, b := mustProducer(t, r, "a", opts), mustProducer(t, r, "b", opts)
			taken := fill(t, a)
			if _, err := b.Write([]byte("b")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := r.Close(ctx)

			var lost *NotWrittenError
			if !errors.As(err, &lost) || !errors.Is(err, context.DeadlineExceeded) || !f.closed {
				t.Fatalf("%v; sealed: %v", err, f.closed)
			}
			got := replay(t, f.all(), 1)
			gone := uint64(taken - len(got.data))
			if len(got.data) == 0 || gone == 0 {
				t.Fatalf("%d records of %d are in the archive; the test proves nothing", len(got.data), taken)
			}
			want := []StreamLoss{{"a", gone, 40 * gone}, {"b", 1, 1}}
			if !reflect.DeepEqual(lost.Streams, want) {
				t.Errorf("error names %+v, want %+v", lost.Streams, want)
			}
			last := got.losses[len(got.losses)-1]
			if last.Reason != journal.LossClosed || last.Records != gone || got.next != uint64(taken)+1 {
				t.Errorf("losses %+v, ordinals to %d, offered %d", got.losses, got.next, taken+1)
			}
			if s := streamStats(t, r, "a"); s.Records != uint64(len(got.data)) || s.Lost != gone+1 || s.LagRecords != 0 {
				t.Errorf("stats %+v", s)
			}
			if err := a.WaitDurable(t.Context()); !errors.As(err, &lost) || lost.Streams[0] != want[0] {
				t.Error("WaitDurable:", err)
			}
			if again := r.Close(t.Context()); again != err {
				t.Error("second Close:", again)
			}
		})
	})
}

// What was written before Close ran out of time is durable, and waiters are
// told so.
func TestWaitDurableWhileCloseRunsOut(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			f.before = func(int, []byte) (int, error) { time.Sleep(300 * time.Millisecond); return 0, nil }
			r := startFake(t, f, &Options{LaneSize: 1024})
			opts := &ProducerOptions{Shared: shared}
			other, p := mustProducer(t, r, "other", opts), mustProducer(t, r, "a", opts)
			_, _ = other.Write([]byte("x"))
			synctest.Wait() // the archiver writes it, for 300 ms
			_, _ = p.Write([]byte("first"))
			result := make(chan error)
			go func() { result <- p.WaitDurable(t.Context()) }()
			synctest.Wait()
			fill(t, p)
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			defer cancel()
			closed := make(chan error)
			go func() { closed <- r.Close(ctx) }()
			if err := <-result; err != nil {
				t.Error("WaitDurable:", err)
			}
			if err := <-closed; !errors.Is(err, context.DeadlineExceeded) {
				t.Error("Close:", err)
			}
		})
	})
}

// A context that is done already still seals, and loses nothing if there is
// nothing to lose.
func TestCloseWithDoneContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		r := startFake(t, f, nil)
		p := mustProducer(t, r, "a", nil)
		_, _ = p.Write([]byte("x"))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Close(ctx); err != nil || !f.closed {
			t.Error(err, f.closed)
		}
	})
}

// A write that hangs does not hang Close, Stats or a waiter with a context,
// and when it comes back the archive is sealed after all.
func TestCloseWhileWriteHangs(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f, release := stalled()
			r := startFake(t, f, &Options{LaneSize: 1024})
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
			taken := uint64(fill(t, p))
			time.Sleep(time.Minute)
			s := r.Stats()
			if s.LagRecords != taken || s.LagBytes != 56*taken || s.UndurableRecords != taken || s.Lag != time.Minute {
				t.Errorf("stats of a hanging write: %+v", s)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			err := r.Close(ctx)
			if took := time.Since(began); took != time.Second+closeGrace {
				t.Error("Close took", took)
			}
			var lost *NotWrittenError
			if !errors.As(err, &lost) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not sealed") {
				t.Fatal(err)
			}
			if len(lost.Streams) != 1 || lost.Streams[0].Records != taken || lost.Streams[0].Name != "a" {
				t.Errorf("error names %+v, want %d records", lost.Streams, taken)
			}
			release()
			err = r.Close(t.Context())
			got := replay(t, f.all(), 1)
			if !errors.As(err, &lost) || lost.Streams[0].Records != taken-uint64(len(got.data)) || !f.closed {
				t.Errorf("%v; archive has %d of %d records, sealed: %v", err, len(got.data), taken, f.closed)
			}
			if got.next != taken+1 {
				t.Errorf("the archive accounts for %d records, offered %d", got.next, taken+1)
			}
		})
	})
}

// The error names what was given up although the seal hangs.
func TestCloseWhileSealHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, release := stalled()
		f.seal = make(chan struct{})
		r := startFake(t, f, &Options{LaneSize: 1024})
		p := mustProducer(t, r, "a", nil)
		fill(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		time.AfterFunc(time.Millisecond, release)
		err := r.Close(ctx)
		var lost *NotWrittenError
		given := p.Stats().Lost - 1
		if !errors.As(err, &lost) || !strings.Contains(err.Error(), "not sealed") || given == 0 || len(lost.Streams) != 1 || lost.Streams[0] != (StreamLoss{"a", given, 40 * given}) {
			t.Errorf("%v; %d records were given up", err, given)
		}
		close(f.seal)
		if err := r.Close(t.Context()); !errors.As(err, &lost) || strings.Contains(err.Error(), "not sealed") {
			t.Error(err)
		}
	})
}

func TestSealError(t *testing.T) {
	f := &fakeArchive{sealErr: errors.New("no seal")}
	r := startFake(t, f, nil)
	if err := r.Close(t.Context()); !errors.Is(err, f.sealErr) {
		t.Error(err)
	}
}

// Producers come and go while others write; nothing is lost between them.
func TestProducersComeAndGo(t *testing.T) {
	f := slowly()
	r := startFake(t, f, &Options{LaneSize: 1024, MemoryLimit: 48 << 10})
	var written atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			name := string(rune('a' + i))
			n := 0
			for range scaled(100) {
				p, err := r.Producer(name, &ProducerOptions{Overload: OverloadWait, Shared: i%2 == 1})
				if err != nil {
					t.Error(err)
					return
				}
				for range n % 5 {
					if _, err := p.Write(record(nil, i, n, n%50)); err != nil {
						t.Error(err)
					}
					written.Add(1)
				}
				n++
				_ = p.Close()
			}
		})
	}
	wg.Wait()
	mustClose(t, r)
	total := 0
	for _, s := range r.Stats().Streams {
		got := replay(t, f.all(), s.ID)
		total += len(got.data)
		last := -1
		for _, rec := range got.data {
			if _, n := parse(t, rec.Payload); n < last {
				t.Fatalf("stream %s: record %d behind %d", s.Name, n, last)
			} else {
				last = n
			}
		}
		if s.Records != uint64(len(got.data)) || s.Open || s.LaneCapacity != 0 {
			t.Errorf("stats %+v, archive has %d", s, len(got.data))
		}
	}
	if int64(total) != written.Load() {
		t.Errorf("%d records, written %d", total, written.Load())
	}
	if m := r.Stats().LaneMemory; m != 0 {
		t.Errorf("%d bytes of lanes left", m)
	}
}

package recorder

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// slowly makes an archive that is slower than its producers, unevenly.
func slowly() *fakeArchive {
	f := new(fakeArchive)
	f.before = func(n int, _ []byte) (int, error) {
		if n%3 == 0 {
			time.Sleep(50 * time.Microsecond)
		} else {
			runtime.Gosched()
		}
		return 0, nil
	}
	return f
}

// scaled is n, or less where the race detector or testing.Short asks for it.
func scaled(n int) int {
	if testing.Short() || raceEnabled {
		return n / 5
	}
	return n
}

// record is a payload of 8 to 8+extra bytes that says who wrote it and which
// of its writer's records it is.
func record(buf []byte, writer, number, extra int) []byte {
	buf = binary.LittleEndian.AppendUint32(buf[:0], uint32(writer))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(number))
	for i := range extra {
		buf = append(buf, byte(number+i))
	}
	return buf
}

func parse(t testing.TB, rec []byte) (writer, number int) {
	t.Helper()
	if len(rec) < 8 {
		t.Fatalf("record of %d bytes", len(rec))
	}
	writer, number = int(binary.LittleEndian.Uint32(rec)), int(binary.LittleEndian.Uint32(rec[4:]))
	for i, b := range rec[8:] {
		if b != byte(number+i) {
			t.Fatalf("record %d of writer %d: byte %d is %d", number, writer, i, b)
		}
	}
	return writer, number
}

// Unshared producers under drop: the ordinals that the loss records leave to
// the archived records are exactly the numbers their writer gave them, and the
// counts add up.
func TestDropIsExact(t *testing.T) {
	f := slowly()
	r := startFake(t, f, &Options{LaneSize: 2048})
	const producers = 3
	offered := scaled(20000)
	var wg sync.WaitGroup
	for i := range producers {
		p := mustProducer(t, r, string(rune('a'+i)), nil)
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			var buf []byte
			for n := range offered {
				size := rng.IntN(100)
				if rng.IntN(50) == 0 {
					size = 3000 // never fits
				}
				buf = record(buf, i, n, size)
				_, err := p.Write(buf)
				if err != nil && !errors.Is(err, queue.ErrFull) && !errors.Is(err, queue.ErrTooLarge) {
					t.Error(err)
					return
				}
				if rng.IntN(20) == 0 {
					time.Sleep(time.Microsecond)
				}
			}
		})
	}
	wg.Wait()
	mustClose(t, r)

	lostAny := false
	for i := range producers {
		got := replay(t, f.all(), uint16(i+1))
		for k, rec := range got.data {
			if writer, number := parse(t, rec.Payload); writer != i || uint64(number) != got.ordinal[k] {
				t.Fatalf("stream %d: record %d of writer %d stands at ordinal %d", i, number, writer, got.ordinal[k])
			}
		}
		if got.next != uint64(offered) {
			t.Errorf("stream %d: the archive accounts for %d records, offered %d", i, got.next, offered)
		}
		s := streamStats(t, r, string(rune('a'+i)))
		if s.Records != uint64(len(got.data)) || s.Lost != got.lost || s.Records+s.Lost != uint64(offered) || s.Refused != 0 {
			t.Errorf("stream %d: stats %+v; archive %d records, %d lost", i, s, len(got.data), got.lost)
		}
		var reasons [6]uint64
		for _, l := range got.losses {
			reasons[l.Reason] += l.Records
		}
		if reasons[journal.LossTooLarge] == 0 {
			t.Errorf("stream %d: no record was too large: %v", i, reasons)
		}
		lostAny = lostAny || reasons[journal.LossOverload] > 0
	}
	if !lostAny {
		t.Error("nothing was lost to overload; the test proves nothing")
	}
}

// Shared producers under drop: whatever is missing is counted, and each
// writer's records are in its order.
func TestSharedDropIsExact(t *testing.T) {
	f := slowly()
	r := startFake(t, f, &Options{LaneSize: 2048})
	p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
	const writers = 4
	offered := scaled(10000)
	var refused [writers]int
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			var buf []byte
			for n := range offered {
				buf = record(buf, i, n, n%50)
				switch c, err := p.TryClaim(1, 0, len(buf)+n%7); {
				case err == queue.ErrFull:
					refused[i]++
				case err != nil:
					t.Error(err)
					return
				default:
					copy(c.Bytes(), buf)
					if !c.CommitN(len(buf)) {
						t.Error("not committed")
					}
				}
				if n%10 == i {
					if c, err := p.TryClaim(1, 0, 16); err == nil {
						c.Abort()
					} else {
						refused[i]++ // offered, and lost, for all the recorder knows
					}
				}
			}
		})
	}
	wg.Wait()
	if err := p.WaitDurable(context.Background()); err != nil {
		t.Fatal(err)
	}
	mustClose(t, r)

	got := replay(t, f.all(), 1)
	var next [writers]int
	for _, rec := range got.data {
		writer, number := parse(t, rec.Payload)
		if number < next[writer] {
			t.Fatalf("writer %d: record %d behind %d", writer, number, next[writer]-1)
		}
		next[writer] = number + 1
	}
	lost := 0
	for _, n := range refused {
		lost += n
	}
	if got.lost != uint64(lost) || lost == 0 {
		t.Errorf("the archive says that %d records are lost, the writers %d", got.lost, lost)
	}
	s := streamStats(t, r, "a")
	if s.Records != uint64(len(got.data)) || s.Lost != got.lost || s.LagRecords != 0 {
		t.Errorf("stats %+v; archive %d records, %d lost", s, len(got.data), got.lost)
	}
}

// Under wait nothing is lost, for Write and Claim of both kinds of producer.
func TestWaitLosesNothing(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		f := slowly()
		r := startFake(t, f, &Options{LaneSize: 512})
		writers := 1
		if shared {
			writers = 3
		}
		offered := scaled(1500)
		p := mustProducer(t, r, "a", &ProducerOptions{Overload: OverloadWait, Shared: shared})
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				var buf []byte
				for n := range offered {
					buf = record(buf, i, n, n%400)
					if n%2 == 0 {
						if _, err := p.Write(buf); err != nil {
							t.Error(err)
						}
						continue
					}
					c, err := p.Claim(context.Background(), 1, 0, len(buf))
					if err != nil {
						t.Error(err)
						return
					}
					copy(c.Bytes(), buf)
					c.Commit()
				}
			})
		}
		wg.Wait()
		mustClose(t, r)
		got := replay(t, f.all(), 1)
		next := make([]int, writers)
		for _, rec := range got.data {
			writer, number := parse(t, rec.Payload)
			if number != next[writer] {
				t.Fatalf("writer %d: record %d, want %d", writer, number, next[writer])
			}
			next[writer]++
		}
		if len(got.data) != writers*offered || got.lost != 0 {
			t.Errorf("%d records and %d lost, offered %d", len(got.data), got.lost, writers*offered)
		}
	})
}

// stalled is an archive that takes nothing until release is called.
func stalled() (f *fakeArchive, release func()) {
	gate := make(chan struct{})
	f = new(fakeArchive)
	f.before = func(int, []byte) (int, error) { <-gate; return 0, nil }
	return f, sync.OnceFunc(func() { close(gate) })
}

// fill offers records of 40 bytes until one is refused, and returns how many
// were taken.
func fill(t *testing.T, p *Producer) (taken int) {
	t.Helper()
	for {
		c, err := p.TryClaim(1, 0, 40)
		if errors.Is(err, queue.ErrFull) {
			return taken
		}
		if err != nil {
			t.Fatal(err)
		}
		copy(c.Bytes(), record(nil, 0, taken, 32))
		c.Commit()
		taken++
	}
}

func TestFullLaneByPolicy(t *testing.T) {
	tests := []struct {
		policy        Overload
		lost, refused uint64 // of the two records that fill and TryClaim offer in vain
	}{
		{OverloadDrop, 2, 0},
		{OverloadFail, 0, 2},
		{OverloadWait, 0, 2},
	}
	for _, test := range tests {
		t.Run(test.policy.String(), func(t *testing.T) {
			bothKinds(t, func(t *testing.T, shared bool) {
				f, release := stalled()
				defer release()
				r := startFake(t, f, &Options{LaneSize: 1024})
				p := mustProducer(t, r, "a", &ProducerOptions{Overload: test.policy, Shared: shared})
				if p.Overload() != test.policy {
					t.Error("policy is", p.Overload())
				}
				taken := fill(t, p)
				if _, err := p.TryClaim(1, 0, 40); !errors.Is(err, queue.ErrFull) {
					t.Fatal(err)
				}
				want := uint64(2)
				if test.policy != OverloadWait {
					if _, err := p.Write(make([]byte, 40)); !errors.Is(err, queue.ErrFull) {
						t.Fatal(err)
					}
					if _, err := p.Claim(context.Background(), 1, 0, 40); !errors.Is(err, queue.ErrFull) {
						t.Fatal(err)
					}
					want += 2
				}
				s := p.Stats()
				if s.Lost+s.Refused != want || (s.Lost > 0) != (test.lost > 0) || (s.Refused > 0) != (test.refused > 0) {
					t.Errorf("stats %+v", s)
				}
				if s.LostBytes != 40*s.Lost {
					t.Errorf("%d bytes lost", s.LostBytes)
				}
				release()
				mustClose(t, r)
				got := replay(t, f.all(), 1)
				if len(got.data) != taken || got.lost != s.Lost {
					t.Errorf("archive: %d records, want %d; %d lost, want %d", len(got.data), taken, got.lost, s.Lost)
				}
			})
		})
	}
}

// A waiting claim ends with its context, with Close, and when room comes.
func TestWaitEnds(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f, release := stalled()
			r := startFake(t, f, &Options{LaneSize: 1024})
			p := mustProducer(t, r, "a", &ProducerOptions{Overload: OverloadWait, Shared: shared})
			fill(t, p)

			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			_, err := p.Claim(ctx, 1, 0, 40)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"a"`) {
				t.Error("deadline:", err)
			}
			if waited := time.Since(began); waited != time.Minute {
				t.Error("waited", waited)
			}
			if s := p.Stats(); s.Refused != 2 {
				t.Errorf("stats %+v", s)
			}

			go func() {
				time.Sleep(time.Second)
				release()
			}()
			if n, err := p.Write(make([]byte, 40)); n != 40 || err != nil {
				t.Error("with room:", n, err)
			}
			mustClose(t, r)
		})
	})
}

func TestCloseReleasesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, release := stalled()
		r := startFake(t, f, &Options{LaneSize: 1024})
		p := mustProducer(t, r, "a", &ProducerOptions{Overload: OverloadWait, Shared: true})
		taken := fill(t, p)
		for range 5 {
			go func() {
				if _, err := p.Write(make([]byte, 40)); !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			release()
		}()
		mustClose(t, r)
		if got := len(f.all()); got != taken {
			t.Errorf("%d records, want %d", got, taken)
		}
		if s := p.Stats(); s.Refused != 6 || s.Lost != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Padding is published for a record that must wait, and the archiver, asleep,
// has to be told: nothing else will make room.
func TestRecordOverHalfTheLane(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		f := new(fakeArchive)
		r := startFake(t, f, &Options{LaneSize: 1024})
		p := mustProducer(t, r, "a", &ProducerOptions{Overload: OverloadWait, Shared: shared})
		for i := range 50 {
			if _, err := p.Write(make([]byte, 600+i)); err != nil {
				t.Fatal(err)
			}
			if i%5 == 0 {
				if err := p.WaitDurable(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		mustClose(t, r)
		if got := replay(t, f.all(), 1); len(got.data) != 50 || got.next != 50 {
			t.Errorf("%d records, ordinals to %d", len(got.data), got.next)
		}
	})
}

func TestOverloadNames(t *testing.T) {
	for _, o := range []Overload{OverloadDrop, OverloadWait, OverloadFail} {
		if got, err := ParseOverload(o.String()); got != o || err != nil {
			t.Error(o, got, err)
		}
	}
	if _, err := ParseOverload("block"); err == nil || !strings.Contains(err.Error(), `"block"`) {
		t.Error(err)
	}
	if got := Overload(9).String(); got != "Overload(9)" {
		t.Error(got)
	}
}

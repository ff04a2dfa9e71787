package recorder

import (
	"context"
	"math/rand/v2"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// mustClaim claims n bytes.
func mustClaim(t *testing.T, p *Producer, n int) Claim {
	t.Helper()
	c, err := p.TryClaim(1, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustWrite(t *testing.T, p *Producer, s string) {
	t.Helper()
	if _, err := p.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

// A leaked claim delays the records behind it by StallLimit and no longer, and
// whoever waits for those. What its owner does later is accounted for.
func TestStalledClaimIsPassed(t *testing.T) {
	tests := []struct {
		name   string
		settle func(c Claim) bool // whether a record was meant
		lost   uint64
	}{
		{"committed late", func(c Claim) bool { return c.Commit() }, 1},
		{"committed late, shorter", func(c Claim) bool { return c.CommitN(2) }, 1},
		{"aborted late", func(c Claim) bool { c.Abort(); return false }, 0},
		{"never settled", func(Claim) bool { return false }, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := new(fakeArchive)
				r := startFake(t, f, nil)
				p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
				mustWrite(t, p, "0")
				synctest.Wait()
				c := mustClaim(t, p, 4)
				began := time.Now()
				mustWrite(t, p, "1")
				durable := make(chan time.Duration)
				go func() {
					if err := p.WaitDurable(t.Context()); err != nil {
						t.Error(err)
					}
					durable <- time.Since(began)
				}()
				time.Sleep(DefaultStallLimit - time.Nanosecond)
				synctest.Wait()
				if s := streamStats(t, r, "a"); len(f.all()) != 1 || s.StalledFor != DefaultStallLimit-time.Nanosecond || s.Abandoned != 0 {
					t.Fatalf("%d records before the limit, stats %+v", len(f.all()), s)
				}
				if d := <-durable; d != DefaultStallLimit {
					t.Errorf("WaitDurable took %v", d)
				}
				mustWrite(t, p, "2")
				synctest.Wait()
				if n := len(f.all()); n != 3 {
					t.Fatalf("%d records after the limit", n)
				}
				if test.settle(c) {
					t.Error("a claim that was passed could be committed")
				}
				mustWrite(t, p, "3")
				mustClose(t, r)

				got := replay(t, f.all(), 1)
				if len(got.data) != 4 || got.lost != test.lost || got.next != 4+test.lost {
					t.Errorf("%d records, losses %+v", len(got.data), got.losses)
				}
				for _, l := range got.losses {
					if l.Reason != journal.LossStalled || l.First != 3 {
						t.Errorf("loss %+v", l)
					}
				}
				for i, rec := range got.data {
					if string(rec.Payload) != string(rune('0'+i)) {
						t.Errorf("record %d is %q", i, rec.Payload)
					}
				}
				s := streamStats(t, r, "a")
				if s.Records != 4 || s.Lost != test.lost || s.Abandoned != 1 || s.StalledFor != 0 || s.LagRecords != 0 {
					t.Errorf("stats %+v", s)
				}
				if ps := p.Stats(); ps.Abandoned != 1 || ps.StalledFor != 0 {
					t.Errorf("producer's stats %+v", ps)
				}
			})
		})
	}
}

// Each thing that a leaked claim can hold up gets through after the limit,
// though the archiver was asleep when the claim was made.
func TestWhatAStalledClaimHoldsUp(t *testing.T) {
	const limit = time.Second
	tests := []struct {
		name string
		wait func(t *testing.T, f *fakeArchive, p *Producer)
	}{
		{"WaitDurable with nothing behind", func(t *testing.T, _ *fakeArchive, p *Producer) {
			if err := p.WaitDurable(t.Context()); err != nil {
				t.Error(err)
			}
		}},
		{"record that finds no room", func(t *testing.T, _ *fakeArchive, p *Producer) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c, err := p.Claim(ctx, 1, 0, 700)
			if err != nil {
				t.Fatal(err)
			}
			c.Commit()
		}},
		{"loss", func(t *testing.T, f *fakeArchive, p *Producer) {
			p.Lose(1, 1, journal.LossSource)
			for range 5000 {
				if len(f.all()) > 0 {
					return
				}
				time.Sleep(time.Millisecond)
				synctest.Wait()
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := new(fakeArchive)
				r := startFake(t, f, &Options{StallLimit: limit})
				p := mustProducer(t, r, "a", &ProducerOptions{LaneSize: 1024, Shared: true, Overload: OverloadWait})
				synctest.Wait()
				mustClaim(t, p, 400)
				began := time.Now()
				test.wait(t, f, p)
				if d := time.Since(began); d < limit || d > limit+lossDelay+time.Millisecond {
					t.Errorf("took %v", d)
				}
				mustClose(t, r)
			})
		})
	}
}

// A claim that holds up nobody may stay open, and one that does if StallLimit
// is negative; also, a claim that is settled in time is not late.
func TestClaimsThatAreNotPassed(t *testing.T) {
	tests := []struct {
		name   string
		limit  time.Duration
		behind bool
		open   time.Duration
	}{
		{"nothing behind", time.Second, false, time.Hour},
		{"no limit", -1, true, time.Hour},
		{"in time", time.Second, true, time.Second - 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := new(fakeArchive)
				r := startFake(t, f, &Options{StallLimit: test.limit})
				p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
				mustWrite(t, p, "0")
				c := mustClaim(t, p, 1)
				r.parker.Wake() // a claim alone wakes nobody; the archiver must see it
				want := 2
				if test.behind {
					mustWrite(t, p, "2")
					want++
				}
				time.Sleep(test.open)
				synctest.Wait()
				if s := p.Stats(); s.StalledFor != test.open {
					t.Errorf("stats %+v", s)
				}
				if !c.Commit() {
					t.Error("not committed")
				}
				mustClose(t, r)
				if s := p.Stats(); len(f.all()) != want || s.Lost != 0 || s.Abandoned != 0 || s.StalledFor != 0 {
					t.Errorf("%d records, want %d; stats %+v", len(f.all()), want, s)
				}
			})
		})
	}
}

// Stats say how long a claim stalls, and no longer, and stay sensible while it
// is passed.
func TestStatsOfAStalledLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		o, _ := (&Options{LaneSize: 1024}).withDefaults()
		r := newRecorder(f, o)
		a := newArchiver(r)
		p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
		first, second := mustClaim(t, p, 8), mustClaim(t, p, 8)
		mustWrite(t, p, "x")
		a.round()
		time.Sleep(time.Second)
		if s := p.Stats(); s.StalledFor != time.Second || s.LagRecords != 1 {
			t.Errorf("stats of a stalled lane %+v", s)
		}
		f.before = func(int, []byte) (int, error) {
			if s := p.Stats(); s.StalledFor != 0 {
				t.Errorf("stats behind a commit %+v", s)
			}
			return 0, nil
		}
		first.Commit()
		a.round() // writes the first
		a.round() // meets the second
		time.Sleep(DefaultStallLimit)
		a.round() // passes it
		if s := p.Stats(); s.Abandoned != 1 || s.LagRecords != 1 || s.LagBytes == 0 || s.LagBytes > 1024 {
			t.Errorf("stats of a passed claim %+v", s)
		}
		for a.round() {
		}
		if s := p.Stats(); s.Records != 2 || s.LagRecords != 0 || s.LagBytes != 0 || s.StalledFor != 0 {
			t.Errorf("stats at the end %+v", s)
		}
		second.Abort()
		r.stop()
		a.finish()
	})
}

// No more than four buffers wait for late owners. The fifth claim is waited
// for, without spinning, and passed when one of the four is gone.
func TestFifthStalledClaimWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		r := startFake(t, f, &Options{StallLimit: time.Second})
		p := mustProducer(t, r, "a", &ProducerOptions{LaneSize: 1024, Shared: true})
		claims := make([]Claim, 5)
		for i := range claims {
			claims[i] = mustClaim(t, p, 8)
			mustWrite(t, p, "x")
			time.Sleep(time.Second)
			synctest.Wait()
			if n := len(f.all()); n != min(i+1, 4) {
				t.Fatalf("%d records behind %d claims", n, i+1)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(f.all()); n != 4 {
			t.Fatalf("%d records behind 5 claims", n)
		}
		claims[0] = Claim{}
		runtime.GC()
		runtime.GC()
		time.Sleep(2 * passDelay)
		synctest.Wait()
		if n := len(f.all()); n != 5 {
			t.Errorf("%d records, one of the claims is gone", n)
		}
		mustClose(t, r)
		runtime.KeepAlive(claims)
	})
}

// A write whose goroutine stands still inside of it is written again.
func TestWriteSurvivesAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		r := startFake(t, f, nil)
		p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
		c, err := p.tryClaim(1, 5, 3, 4)
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, p, "behind")
		time.Sleep(time.Minute)
		if err := p.put(c, 1, 5, 3, []byte("slow")); err != nil {
			t.Error(err)
		}
		mustClose(t, r)
		got := f.all()
		if len(got) != 2 || !reflect.DeepEqual(got[1], journal.Record{Seq: 1, Time: 1, Kind: 5, Flags: 3, Stream: 1, Payload: []byte("slow")}) {
			t.Errorf("%+v", got)
		}
		if s := p.Stats(); s.Lost != 0 || s.Records != 2 || s.Abandoned != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Writers that stop between claim and commit, some for ever: what Commit
// answered is what the archive has, and everything offered is accounted for.
func TestStalledClaimsAddUp(t *testing.T) {
	f := slowly()
	r := startFake(t, f, &Options{LaneSize: 2048, StallLimit: 100 * time.Microsecond})
	p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
	const writers = 4
	var offered, committed, leaked, late atomic.Uint64
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(i)))
			few := func() bool { return leaked.Load() == 0 || late.Load() == 0 }
			for n := 0; n < scaled(2000) || n < 100000 && few(); n++ {
				rec := record(nil, i, n, rng.IntN(40))
				c, err := p.TryClaim(1, 0, len(rec))
				if err != nil {
					offered.Add(1)
					time.Sleep(100 * time.Microsecond)
					continue
				}
				copy(c.Bytes(), rec)
				switch rng.IntN(300) {
				case 0:
					leaked.Add(1)
					c = Claim{}
					runtime.GC() // or the buffers of leaked claims stay
					continue
				case 1, 2, 3:
					time.Sleep(2 * time.Millisecond)
				}
				offered.Add(1)
				if c.Commit() {
					committed.Add(1)
				} else {
					late.Add(1)
				}
			}
		})
	}
	wg.Wait()
	for done := false; !done; {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		done = p.WaitDurable(ctx) == nil
		cancel()
		runtime.GC()
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
	s := streamStats(t, r, "a")
	if uint64(len(got.data)) != committed.Load() || s.Records != committed.Load() || s.Records+s.Lost != offered.Load() || got.lost != s.Lost {
		t.Errorf("offered %d, committed %d; archive %d records, %d lost; stats %+v", offered.Load(), committed.Load(), len(got.data), got.lost, s)
	}
	if s.Abandoned < leaked.Load() || s.LagRecords != 0 {
		t.Errorf("%d claims leaked, stats %+v", leaked.Load(), s)
	}
	stalled := uint64(0)
	for _, l := range got.losses {
		if l.Reason == journal.LossStalled {
			stalled += l.Records
		}
	}
	if stalled == 0 || leaked.Load() == 0 {
		t.Error("no commit came too late; the test proves nothing")
	}
}

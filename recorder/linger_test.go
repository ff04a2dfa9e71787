package recorder

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// napping starts a recorder whose archiver naps for an hour, but for what ends a
// nap.
func napping(t *testing.T, o Options) (f *fakeArchive, r *Recorder) {
	t.Helper()
	f = new(fakeArchive)
	o.Linger = time.Hour
	r = startFake(t, f, &o)
	synctest.Wait()
	return f, r
}

// Records lie in their lanes for Options.Linger, and are then written together.
func TestRecordsLinger(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			o, _ := (&Options{}).withDefaults()
			r := startFake(t, f, &o)
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
			for n := range 3 {
				synctest.Wait() // the nap has begun
				for range 10 {
					mustWrite(t, p, "x")
				}
				time.Sleep(DefaultLinger - 1)
				synctest.Wait()
				if len(f.all()) != 10*n {
					t.Errorf("%d records before the nap has ended", len(f.all()))
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if len(f.all()) != 10*(n+1) || f.appends != n+1 {
					t.Errorf("%d records in %d batches behind it", len(f.all()), f.appends)
				}
			}
			mustClose(t, r)
		})
	})
}

// What cannot wait ends a nap at once; a record alone does not.
func TestWhatEndsANap(t *testing.T) {
	durable := func(t *testing.T, wait func(context.Context) error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := wait(ctx); err != nil {
			t.Error(err)
		}
	}
	tests := []struct {
		name string
		do   func(t *testing.T, r *Recorder, p *Producer)
		ends bool
	}{
		{"a record", func(*testing.T, *Recorder, *Producer) {}, false},
		{"WaitDurable of the producer", func(t *testing.T, _ *Recorder, p *Producer) { durable(t, p.WaitDurable) }, true},
		{"WaitDurable of the recorder", func(t *testing.T, r *Recorder, _ *Producer) { durable(t, r.WaitDurable) }, true},
		{"Close of the producer", func(_ *testing.T, _ *Recorder, p *Producer) { _ = p.Close() }, true},
		{"Close of the recorder", func(t *testing.T, r *Recorder, _ *Producer) { mustClose(t, r) }, true},
		{"a loss", func(_ *testing.T, _ *Recorder, p *Producer) { p.Lose(1, 1, journal.LossSource) }, true},
		{"a claim that finds no room", func(t *testing.T, _ *Recorder, p *Producer) {
			if _, err := p.TryClaim(1, 0, 1000); err == nil {
				t.Error("there was room")
			}
		}, true},
		{"a lane that is half full", func(t *testing.T, _ *Recorder, p *Producer) {
			for range 16 {
				mustWrite(t, p, "0123456789012345") // 32 bytes of the lane each
			}
		}, true},
		{"a lane that is not", func(t *testing.T, _ *Recorder, p *Producer) {
			for range 13 {
				mustWrite(t, p, "0123456789012345")
			}
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bothKinds(t, func(t *testing.T, shared bool) {
				synctest.Test(t, func(t *testing.T) {
					f, r := napping(t, Options{})
					p := mustProducer(t, r, "a", &ProducerOptions{LaneSize: 1024, Overload: OverloadFail, Shared: shared})
					mustWrite(t, p, "0123456789012345")
					start := time.Now()
					test.do(t, r, p)
					synctest.Wait()
					if ended := len(f.all()) > 0; ended != test.ends || time.Since(start) != 0 {
						t.Errorf("%d records after %v", len(f.all()), time.Since(start))
					}
					mustClose(t, r)
				})
			})
		})
	}
}

// A commit or Abort of a claim that holds up others ends a nap if the lane is
// crowded, or somebody waits.
func TestClaimsThatHoldUpOthersEndANap(t *testing.T) {
	settle := map[string]func(Claim){"commit": func(c Claim) { c.Commit() }, "abort": Claim.Abort}
	for name, settle := range settle {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, r := napping(t, Options{StallLimit: -1})
				p := mustProducer(t, r, "a", &ProducerOptions{LaneSize: 1024, Shared: true})
				start := time.Now()
				for range 3 {
					c := mustClaim(t, p, 8)
					mustWrite(t, p, "behind")
					go func() {
						time.Sleep(time.Millisecond)
						settle(c)
					}()
					if err := p.WaitDurable(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if d := time.Since(start); d != 3*time.Millisecond {
					t.Errorf("three WaitDurable took %v", d)
				}
				c := mustClaim(t, p, 700)
				mustWrite(t, p, "behind")
				synctest.Wait()
				settle(c)
				synctest.Wait()
				if s := p.Stats(); s.LagRecords != 0 {
					t.Errorf("stats %+v", s)
				}
				mustClose(t, r)
			})
		})
	}
}

// Records of up to half the lane, in which alone they always find room, are never
// lost for the archiver's naps, wherever they lie in it.
func TestNapsLoseNothing(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			_, r := napping(t, Options{})
			p := mustProducer(t, r, "a", &ProducerOptions{LaneSize: 1024, Shared: shared})
			for size := range 1024/2 - 24 {
				for range 30 {
					if _, err := p.Write(make([]byte, size)); err != nil {
						t.Fatalf("record of %d bytes: %v; stats %+v", size, err, p.Stats())
					}
					synctest.Wait()
				}
			}
			mustClose(t, r)
		})
	})
}

// One look takes all that was there, of every lane, before the next nap.
func TestALookTakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := napping(t, Options{LaneSize: 4096})
		want := 0
		for i, urgent := range []bool{true, false, true, true, false} {
			p := mustProducer(t, r, string(rune('a'+i)), &ProducerOptions{Urgent: urgent})
			for range 1 + 13*i { // the last have more than a batch, and are not half full
				mustWrite(t, p, "0123456789012345")
				want++
			}
		}
		synctest.Wait()
		if len(f.all()) != 0 {
			t.Errorf("%d records during the nap", len(f.all()))
		}
		r.parker.Rouse()
		synctest.Wait()
		if len(f.all()) != want {
			t.Errorf("%d of %d records", len(f.all()), want)
		}
		mustClose(t, r)
	})
}

// What came after the archiver's last look and before the nap is found.
func TestDozeLooksOnceMore(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			o, _ := (&Options{Linger: time.Hour}).withDefaults()
			r := newRecorder(f, o)
			a := newArchiver(r)
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
			mustWrite(t, p, "x")
			ended := make(chan bool)
			go func() { ended <- a.doze() }()
			synctest.Wait()
			if len(f.all()) != 1 {
				t.Error("the record is not in the archive")
			}
			r.stop()
			r.parker.Rouse()
			if <-ended {
				t.Error("a nap that Close has ended was quiet")
			}
			a.finish()
		})
	})
}

// A lane that is a quarter full after a nap fills too fast for another: the
// archiver follows its producer until nothing comes.
func TestNoNapWhenLanesFillFast(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		for _, urgent := range []bool{false, true} {
			f := new(fakeArchive)
			o, _ := (&Options{Linger: time.Hour, LaneSize: 1024}).withDefaults()
			r := newRecorder(f, o)
			a := newArchiver(r)
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared, Urgent: urgent})
			for range 8 {
				mustWrite(t, p, "0123456789012345") // 32 bytes of the lane each
			}
			if a.doze() || len(f.all()) != 8 { // or it naps for an hour
				t.Errorf("quiet, or %d records", len(f.all()))
			}
			if !a.brisk {
				t.Error("the archiver does not follow")
			}
			if a.follow(); a.brisk {
				t.Error("it follows, though nothing comes")
			}
			r.stop()
			a.finish()
		}
	})
}

// An archiver that finds nothing for a while sleeps until the next record, which
// it writes at once. Then it naps again.
func TestQuietArchiverSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		o, _ := (&Options{}).withDefaults()
		r := startFake(t, f, &o)
		p := mustProducer(t, r, "a", nil)
		for n := range 3 {
			time.Sleep(dozeFor + 2*DefaultLinger)
			synctest.Wait()
			if r.clock.until.Load() != 0 {
				t.Error("the clock of a sleeping archiver is believed")
			}
			for i := range 2 {
				mustWrite(t, p, "x")
				synctest.Wait()
				if got := len(f.all()); got != 2*n+1 {
					t.Errorf("%d records, %d written at once, want %d", 2*n+1+i, got, 2*n+1)
				}
				if r.clock.until.Load() == 0 {
					t.Error("the clock of a napping archiver is not believed")
				}
			}
			time.Sleep(DefaultLinger)
		}
		mustClose(t, r)
	})
}

// A leaked claim is passed after StallLimit, and losses are written after
// lossDelay, though the archiver naps for longer.
func TestNapsKeepAlarms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := napping(t, Options{StallLimit: time.Second})
		p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
		q := mustProducer(t, r, "b", nil)
		mustClaim(t, p, 8)
		mustWrite(t, p, "behind")
		q.Lose(1, 1, journal.LossSource) // also makes the archiver see the claim
		time.Sleep(lossDelay)
		synctest.Wait()
		if len(f.all()) != 1 {
			t.Errorf("%d records after lossDelay", len(f.all()))
		}
		time.Sleep(time.Second - lossDelay)
		synctest.Wait()
		if len(f.all()) != 2 {
			t.Errorf("%d records after StallLimit", len(f.all()))
		}
		mustClose(t, r)
	})
}

// Many that write and wait, with an archiver that would nap for an hour: none of
// them waits for that.
func TestConcurrentWaitsEndNaps(t *testing.T) {
	f := new(fakeArchive)
	r := startFake(t, f, &Options{Linger: time.Hour})
	shared := mustProducer(t, r, "shared", &ProducerOptions{Shared: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 6 {
		p := shared
		if i%2 == 0 {
			p = mustProducer(t, r, string(rune('a'+i)), &ProducerOptions{Urgent: i == 2})
		}
		wait := p.WaitDurable
		if i > 3 {
			wait = r.WaitDurable
		}
		wg.Go(func() {
			for range scaled(2000) {
				if _, err := p.Write([]byte("x")); err != nil {
					t.Error(err)
				}
				if err := wait(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	mustClose(t, r)
}

// A lane whose records Close could not write to a full disk has no other turn
// before the last look, though there is space again.
func TestNoTurnBehindTheLastAttempt(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			o, _ := (&Options{LaneSize: 1024, Stage: true}).withDefaults()
			r := newRecorder(f, o)
			f.before = func(n int, _ []byte) (int, error) {
				if n > 1 {
					return 0, nil
				}
				r.stop() // the next attempt is the last
				return 0, &journal.WriteError{Full: true, Err: syscall.ENOSPC}
			}
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared, Urgent: true})
			const size, offered = 16, 20 // 32 bytes of the lane each: three batches
			for range offered {
				mustWrite(t, p, "0123456789012345")
			}
			newArchiver(r).run()
			s := streamStats(t, r, "a")
			if s.Records+s.Lost != offered || s.Bytes != size*s.Records || s.LostBytes != size*s.Lost {
				t.Errorf("stats %+v", s)
			}
			if got := replay(t, f.all(), 1); uint64(len(got.data)) != s.Records || got.lost != s.Lost {
				t.Errorf("the archive has %d records and says that %d are lost; stats %+v", len(got.data), got.lost, s)
			}
		})
	})
}

// Records of sizes that change find room as they do without naps. The lane learns
// from the first one how long they get.
func TestNapsLeaveRoomForLongRecords(t *testing.T) {
	for name, sizes := range map[string][]int{"short, long": {100, 60 << 10}, "a quarter, a third": append(slices.Repeat([]int{1000}, 28), 20<<10)} {
		t.Run(name, func(t *testing.T) {
			bothKinds(t, func(t *testing.T, shared bool) {
				synctest.Test(t, func(t *testing.T) {
					f := new(fakeArchive)
					o, _ := (&Options{}).withDefaults()
					r := startFake(t, f, &o)
					p := mustProducer(t, r, "a", &ProducerOptions{LaneSize: 64 << 10, Shared: shared})
					for range 100 {
						for _, n := range sizes {
							_, _ = p.Write(make([]byte, n)) // what is dropped is counted
							time.Sleep(900 * time.Microsecond / time.Duration(len(sizes)-1))
							synctest.Wait()
						}
						time.Sleep(10 * time.Millisecond)
					}
					if s := p.Stats(); s.Lost > 1 {
						t.Errorf("%d records lost", s.Lost)
					}
					mustClose(t, r)
				})
			})
		})
	}
}

// A loss behind the last record of a batch is written after lossDelay.
func TestNapKeepsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := napping(t, Options{})
		p := mustProducer(t, r, "a", nil)
		mustWrite(t, p, "x") // does not end the nap
		p.Lose(1, 1, journal.LossSource)
		time.Sleep(2 * lossDelay)
		synctest.Wait()
		if n := len(f.all()); n != 2 {
			t.Errorf("%d of record and loss after %v", n, 2*lossDelay)
		}
		mustClose(t, r)
	})
}

// One look before a nap takes the lane of a closed producer to its end, lets it
// go, and takes what waits behind it.
func TestLookTakesRetiredLanes(t *testing.T) {
	f := new(fakeArchive)
	o, _ := (&Options{Linger: time.Hour}).withDefaults()
	r := newRecorder(f, o)
	a := newArchiver(r)
	p := mustProducer(t, r, "a", nil)
	mustWrite(t, p, "x")
	_ = p.Close() // ends no nap: there is none yet
	mustWrite(t, mustProducer(t, r, "a", nil), "y")
	a.round()
	if !a.more {
		t.Error("the archiver would nap now")
	}
	if a.round(); len(f.all()) != 2 {
		t.Errorf("%d of 2 records behind another look", len(f.all()))
	}
	r.stop()
	a.finish()
}

// However short the naps are, they come to an end.
func TestShortLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := (&Options{Linger: 1}).withDefaults()
		r := startFake(t, new(fakeArchive), &o)
		mustWrite(t, mustProducer(t, r, "a", nil), "x")
		time.Sleep(dozeFor + 10*minLinger)
		synctest.Wait()
		if r.clock.until.Load() != 0 {
			t.Error("the archiver does not sleep")
		}
		mustClose(t, r)
	})
}

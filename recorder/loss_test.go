package recorder

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

func at(pos uint64) func() uint64 { return func() uint64 { return pos } }

func TestLossBookMerges(t *testing.T) {
	one := func(reason journal.LossReason, when int64) loss {
		return loss{records: 1, bytes: 10, from: when, to: when, reason: reason}
	}
	gap := func(from, to int64) loss { return loss{from: from, to: to, reason: journal.LossSource} }
	var b lossBook
	b.add(at(64), one(journal.LossOverload, 5))
	b.add(at(64), one(journal.LossTooLarge, 6))
	b.add(at(64), one(journal.LossOverload, 7)) // same position and reason
	b.add(at(64), gap(8, 9))
	b.add(at(64), loss{records: 3, from: 1, to: 2, reason: journal.LossSource}) // a known number is kept apart from an unknown one
	b.add(at(64), gap(10, 11))
	b.add(at(128), one(journal.LossOverload, 12)) // a record lies between
	if !b.pending.Load() {
		t.Fatal("nothing pending")
	}
	got := b.takeBefore(nil, 128)
	want := []loss{
		{pos: 64, records: 2, bytes: 20, from: 5, to: 7, reason: journal.LossOverload},
		{pos: 64, records: 1, bytes: 10, from: 6, to: 6, reason: journal.LossTooLarge},
		{pos: 64, from: 8, to: 11, reason: journal.LossSource},
		{pos: 64, records: 3, from: 1, to: 2, reason: journal.LossSource},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !b.pending.Load() {
		t.Error("the last one is still pending")
	}
	if got := b.takeAll(nil); len(got) != 1 || got[0].pos != 128 || b.pending.Load() {
		t.Errorf("rest %+v, pending %v", got, b.pending.Load())
	}
}

// However long an overload lasts, the book holds an entry for each reason.
func TestLossBookIsBounded(t *testing.T) {
	var b lossBook
	for i := range 10000 {
		b.add(at(8), loss{records: uint64(i % 2), reason: journal.LossReason(1 + i%5)})
	}
	if len(b.entries) > 10 {
		t.Errorf("%d entries", len(b.entries))
	}
}

// Beyond maxLosses, losses join the last entry of their reason: the book is
// bounded although the position moves, nothing goes uncounted, and the order of
// positions stays.
func TestLossBookIsBoundedAtMovingPositions(t *testing.T) {
	var b lossBook
	const n = 100 * maxLosses
	for i := range n {
		pos := uint64(8 * i)
		switch i % 64 {
		default:
			b.add(at(pos), loss{records: 1, bytes: 2, from: int64(i), to: int64(i), reason: journal.LossOverload})
		case 0:
			b.add(at(pos), loss{from: int64(i), to: int64(i), reason: journal.LossSource})
		case 63:
			if i > n/2 { // new when the book is full already
				b.add(at(pos), loss{records: 1, bytes: 1, from: int64(i), to: int64(i), reason: journal.LossTooLarge})
			}
		}
	}
	if len(b.entries) > maxLosses+2 {
		t.Fatalf("%d entries", len(b.entries))
	}
	sum := make(map[journal.LossReason]loss)
	last := uint64(0)
	for _, e := range b.takeAll(nil) {
		s := sum[e.reason]
		sum[e.reason] = loss{records: s.records + e.records, bytes: s.bytes + e.bytes, from: min(s.from, e.from), to: max(s.to, e.to)}
		if e.pos < last {
			t.Errorf("position %d behind %d", e.pos, last)
		}
		last = e.pos
	}
	want := map[journal.LossReason]loss{
		journal.LossOverload: {records: n / 64 * 62, bytes: 2 * n / 64 * 62, to: n - 2},
		journal.LossSource:   {to: n - 64},
		journal.LossTooLarge: {records: n / 128, bytes: n / 128, to: n - 1},
	}
	if !reflect.DeepEqual(sum, want) {
		t.Errorf("%+v, want %+v", sum, want)
	}
}

// Losses between aborted claims of a shared lane: while the archiver does not
// come by they stay bounded, and what it writes then adds up, with every loss
// record at its ordinal.
func TestLossesBetweenAbortedClaims(t *testing.T) {
	f := new(fakeArchive)
	o, _ := (*Options)(nil).withDefaults()
	r := newRecorder(f, o)
	p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
	losses, records := uint64(0), 0
	for i := 0; ; i++ {
		c, err := p.tryClaim(1, 1, 0, 8)
		if err != nil {
			break // the lane is full
		}
		if i%100 == 0 {
			c.Commit()
			records++
		} else {
			c.Abort()
		}
		p.Lose(1, 10, journal.LossSource)
		losses++
	}
	if n := len(p.lane.losses.entries); losses < 2*maxLosses || n > maxLosses {
		t.Fatalf("%d entries for %d losses", n, losses)
	}
	go newArchiver(r).run()
	mustClose(t, r)
	got := replay(t, f.all(), 1)
	if got.lost != losses || len(got.data) != records || got.next != losses+uint64(records) {
		t.Errorf("%d lost, %d records, want %d, %d", got.lost, len(got.data), losses, records)
	}
	if s := streamStats(t, r, "a"); s.Lost != losses {
		t.Errorf("stats %+v", s)
	}
}

// Positions cross 2⁶⁴.
func TestLossBookWrapsAround(t *testing.T) {
	var b lossBook
	b.add(at(^uint64(7)), loss{records: 1, reason: 1})
	b.add(at(16), loss{records: 2, reason: 1})
	if got := b.takeBefore(nil, 8); len(got) != 1 || got[0].records != 1 {
		t.Errorf("%+v", got)
	}
	if got := b.takeBefore(nil, 24); len(got) != 1 || got[0].records != 2 {
		t.Errorf("%+v", got)
	}
}

func TestMark(t *testing.T) {
	for _, pos := range []uint64{0, 8, 1 << 20, 1<<35 - 8, 1 << 35, 1<<35 + 8, ^uint64(7)} {
		for _, behind := range []uint64{0, 8, 1 << 20, 1 << 30} {
			m := makeMark(7, pos)
			if got := m.position(pos - behind); got != pos || m.records() != 7 {
				t.Errorf("position %#x seen from %#x behind is %#x, %d records", pos, behind, got, m.records())
			}
			if got := m.position(pos + behind); got != pos {
				t.Errorf("position %#x seen from %#x ahead is %#x", pos, behind, got)
			}
		}
	}
}

// What a source says it lost stands where it said so: between the records
// around it, at once with the next record, after a while without one, or at
// Close.
func TestLose(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			r := startFake(t, f, nil)
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
			write := func(s string) {
				t.Helper()
				if _, err := p.Write([]byte(s)); err != nil {
					t.Fatal(err)
				}
			}
			write("0")
			p.Lose(2, 100, journal.LossTooLarge)
			p.LoseBetween(0, 0, journal.LossSource, 70, 90)
			write("3")
			write("4")
			synctest.Wait()
			if n := len(f.all()); n != 5 {
				t.Fatalf("%d records behind a loss and a record", n)
			}

			p.Lose(1, 5, journal.LossTooLarge)
			synctest.Wait()
			if n := len(f.all()); n != 5 {
				t.Fatal("a loss did not wait for the next record")
			}
			time.Sleep(lossDelay + time.Millisecond)
			synctest.Wait()
			if n := len(f.all()); n != 6 {
				t.Fatalf("%d records: a loss in an idle lane was not written after %v", n, lossDelay)
			}

			p.Lose(1, 1, journal.LossTooLarge)
			synctest.Wait() // the archiver has seen it
			write("7")
			time.Sleep(time.Hour)
			p.Lose(1, 5, journal.LossTooLarge)
			synctest.Wait()
			if n := len(f.all()); n != 8 {
				t.Fatalf("%d records: a loss did not wait again", n)
			}
			time.Sleep(lossDelay + time.Millisecond)
			synctest.Wait()
			if _, err := p.TryClaim(1, 0, p.MaxRecord()+1); err == nil {
				t.Fatal("too large, and taken")
			}
			time.Sleep(lossDelay + time.Millisecond)
			synctest.Wait()
			if n := len(f.all()); n != 10 {
				t.Fatalf("%d records: too large a record left no loss", n)
			}
			p.Lose(1, 5, journal.LossOverload)
			if err := p.WaitDurable(context.Background()); err != nil {
				t.Fatal(err)
			}
			mustClose(t, r)

			got := replay(t, f.all(), 1)
			now := time.Now().UnixNano()
			for i := range got.losses {
				if l := &got.losses[i]; l.From > 1000 {
					if l.From > now || now-l.To > int64(2*time.Hour) {
						t.Errorf("loss %+v is not of now", *l)
					}
					l.From, l.To = 0, 0
				}
			}
			want := []journal.Loss{
				{Stream: 1, First: 1, Records: 2, Bytes: 100, Reason: journal.LossTooLarge},
				{Stream: 1, First: 3, From: 70, To: 90, Reason: journal.LossSource},
				{Stream: 1, First: 5, Records: 1, Bytes: 5, Reason: journal.LossTooLarge},
				{Stream: 1, First: 6, Records: 1, Bytes: 1, Reason: journal.LossTooLarge},
				{Stream: 1, First: 8, Records: 1, Bytes: 5, Reason: journal.LossTooLarge},
				{Stream: 1, First: 9, Records: 1, Bytes: 1 + uint64(p.MaxRecord()), Reason: journal.LossTooLarge},
				{Stream: 1, First: 10, Records: 1, Bytes: 5, Reason: journal.LossOverload},
			}
			if !reflect.DeepEqual(got.losses, want) {
				t.Errorf("losses\n%+v, want\n%+v", got.losses, want)
			}
			if !slices.Equal(got.ordinal, []uint64{0, 3, 4, 7}) {
				t.Errorf("ordinals %v", got.ordinal)
			}
			for i, rec := range got.data {
				if !bytes.Equal(rec.Payload, []byte{byte('0' + got.ordinal[i])}) {
					t.Errorf("ordinal %d is record %q", got.ordinal[i], rec.Payload)
				}
			}
			if s := streamStats(t, r, "a"); s.Lost != 7 || s.LostBytes != 117+uint64(p.MaxRecord()) || s.Gaps != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	})
}

// Losses behind the last record of a producer that closes are written too.
func TestLossThenProducerClose(t *testing.T) {
	f := new(fakeArchive)
	r := startFake(t, f, &Options{MemoryLimit: DefaultLaneSize})
	for i := range 10 {
		p := mustProducer(t, r, "a", nil) // fits only when the one before is gone
		p.Lose(1, 1, journal.LossSource)
		_ = p.Close()
		if got := replay(t, f.all(), 1); len(got.losses) < i {
			t.Fatalf("%d losses in the archive, %d lanes are gone", len(got.losses), i)
		}
	}
	mustClose(t, r)
	if got := replay(t, f.all(), 1); got.lost != 10 {
		t.Errorf("%d lost", got.lost)
	}
}

// A loss behind an open claim, or behind a record that the archiver has not
// seen yet, waits for it, however long the lane is idle.
func TestLossWaitsForWhatWasOfferedBefore(t *testing.T) {
	t.Run("open claim", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			r := startFake(t, f, nil)
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: true})
			c, err := p.TryClaim(1, 0, 4)
			if err != nil {
				t.Fatal(err)
			}
			p.Lose(1, 10, journal.LossSource)
			time.Sleep(time.Second)
			c.Commit()
			mustClose(t, r)
			if got := replay(t, f.all(), 1); len(got.losses) != 1 || got.losses[0].First != 1 {
				t.Errorf("losses %+v", got.losses)
			}
		})
	})
	t.Run("unseen record", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := new(fakeArchive)
			o, _ := (*Options)(nil).withDefaults()
			r := newRecorder(f, o)
			a := newArchiver(r)
			p := mustProducer(t, r, "a", nil)
			p.Lose(1, 1, journal.LossSource)
			a.round()
			time.Sleep(lossDelay)
			if span := p.lane.out.Peek(1); span.Records() != 0 {
				t.Fatal("the lane is not empty")
			}
			_, _ = p.Write([]byte("1"))
			p.Lose(5, 1, journal.LossSource)
			a.idle(p.lane) // goes on from the empty Peek
			go a.run()
			mustClose(t, r)
			got := replay(t, f.all(), 1)
			if len(got.losses) != 2 || got.losses[1].First != 2 || got.ordinal[0] != 1 {
				t.Errorf("losses %+v, ordinals %v", got.losses, got.ordinal)
			}
		})
	})
}

// A loss that is booked when the archiver has gone to sleep wakes it.
func TestLossWakesTheArchiver(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f, release := stalled()
			r := startFake(t, f, &Options{LaneSize: 1024})
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
			fill(t, p)
			// TryClaim, step by step: the lane is full, then empty, then the loss is booked.
			if _, err := p.tryClaim(7, 1, 0, 40); err != queue.ErrFull {
				t.Fatal(err)
			}
			release()
			time.Sleep(time.Minute)
			before := len(replay(t, f.all(), 1).losses)
			_ = p.full(7, 40)
			time.Sleep(time.Minute)
			if n := len(replay(t, f.all(), 1).losses); n != before+1 {
				t.Errorf("%d losses, want %d", n, before+1)
			}
			mustClose(t, r)
		})
	})
}

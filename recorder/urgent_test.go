package recorder

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// turnsRig is an archiver that a test drives round by round, over lanes that the
// test fills while it writes.
type turnsRig struct {
	t       *testing.T
	archive fakeArchive
	a       *archiver
	streams []*turnsStream
}

type turnsStream struct {
	p       *Producer
	batches int
	bytes   int // of frames, as the archiver counts them
	largest int // batch
}

func newTurnsRig(t *testing.T) *turnsRig {
	rig := &turnsRig{t: t}
	o, err := (*Options)(nil).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	rig.a = newArchiver(newRecorder(&rig.archive, o))
	return rig
}

// add makes a stream; its lane is filled up with records of 100 bytes.
func (rig *turnsRig) add(name string, lane int, urgent bool) *turnsStream {
	s := &turnsStream{p: mustProducer(rig.t, rig.a.rec, name, &ProducerOptions{LaneSize: lane, Overload: OverloadFail, Urgent: urgent})}
	rig.streams = append(rig.streams, s)
	return s
}

func (s *turnsStream) fill() {
	for s.p.WriteAt(1, journal.KindData, 0, make([]byte, 100)) != queue.ErrFull {
	}
}

// wrote counts an append and returns whose it is.
func (rig *turnsRig) wrote(frames []byte) *turnsStream {
	_, _, stream := journal.SplitType(int32(uint32(frames[4]) | uint32(frames[6])<<16))
	s := rig.streams[stream-1]
	s.batches++
	s.bytes += len(frames)
	s.largest = max(s.largest, len(frames))
	return s
}

// Streams of both kinds that always have more than fits: each kind has half of
// the bytes at any time, to within a batch, and within a kind each stream has
// its turn. Nobody starves.
func TestUrgentShareIsHalf(t *testing.T) {
	tests := []struct {
		name             string
		urgent, ordinary []int // lane sizes
	}{
		{"one of each", []int{64 << 10}, []int{64 << 10}},
		{"small urgent lane", []int{4 << 10}, []int{256 << 10}},
		{"large urgent lane", []int{256 << 10}, []int{4 << 10}},
		{"few and many", []int{16 << 10, 8 << 10}, []int{32 << 10, 8 << 10, 8 << 10, 4 << 10, 64 << 10}},
		{"many and few", []int{4 << 10, 4 << 10, 4 << 10, 4 << 10}, []int{16 << 10}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rig := newTurnsRig(t)
			for i, size := range test.urgent {
				rig.add("u"+string(rune('0'+i)), size, true)
			}
			for i, size := range test.ordinary {
				rig.add("o"+string(rune('0'+i)), size, false)
			}
			urgent, ordinary := rig.streams[:len(test.urgent)], rig.streams[len(test.urgent):]
			appends := 0
			rig.archive.before = func(_ int, frames []byte) (int, error) {
				rig.wrote(frames)
				for _, s := range rig.streams {
					s.fill()
				}
				u, ul := rig.sum(urgent)
				o, ol := rig.sum(ordinary)
				if u-o > ul || o-u > ol && o > 0 && appends > 0 {
					t.Fatalf("append %d: urgent streams have %d bytes and ordinary ones %d; the largest batches are %d and %d", appends, u, o, ul, ol)
				}
				rig.inTurn(urgent)
				rig.inTurn(ordinary)
				appends++
				return 0, nil
			}
			for _, s := range rig.streams {
				s.fill()
			}
			for appends < 2000 {
				if !rig.a.round() {
					t.Fatal("a round found nothing to do")
				}
			}
		})
	}
}

func (rig *turnsRig) sum(streams []*turnsStream) (bytes, largest int) {
	for _, s := range streams {
		bytes += s.bytes
		largest = max(largest, s.largest)
	}
	return bytes, largest
}

// inTurn checks that no stream has had two turns more than another of its kind.
func (rig *turnsRig) inTurn(streams []*turnsStream) {
	least, most := streams[0].batches, streams[0].batches
	for _, s := range streams {
		least, most = min(least, s.batches), max(most, s.batches)
	}
	if most-least > 1 {
		rig.t.Fatalf("one stream has had %d turns and another %d", most, least)
	}
}

// An urgent stream that needs less than its share waits for one ordinary batch
// at most, at whatever moment its record comes; also if there are several.
func TestUrgentRecordWaitsForOneBatch(t *testing.T) {
	rig := newTurnsRig(t)
	var urgent, ordinary []*turnsStream
	for _, name := range []string{"a", "b", "c"} {
		ordinary = append(ordinary, rig.add("ordinary "+name, 16<<10, false))
	}
	for _, name := range []string{"a", "b"} {
		urgent = append(urgent, rig.add("urgent "+name, 4<<10, true))
	}
	waiting := map[*turnsStream]int{} // ordinary appends since the record was offered
	appends := 0
	rig.archive.before = func(_ int, frames []byte) (int, error) {
		s := rig.wrote(frames)
		delete(waiting, s)
		for u := range waiting {
			if waiting[u]++; !s.p.lane.urgent && waiting[u] > 1 {
				t.Fatalf("append %d: an urgent record waits for the second ordinary batch", appends)
			} else if s.p.lane.urgent {
				waiting[u]--
			}
		}
		for _, o := range ordinary {
			o.fill()
		}
		if u := urgent[appends/3%2]; appends%3 == 0 {
			if err := u.p.WriteAt(1, journal.KindData, 0, make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			if _, ok := waiting[u]; !ok {
				waiting[u] = 0
			}
		}
		appends++
		return 0, nil
	}
	ordinary[0].fill()
	for appends < 1000 {
		rig.a.round()
	}
	if urgent[0].batches < 100 || urgent[1].batches < 100 {
		t.Errorf("%d and %d urgent batches of %d", urgent[0].batches, urgent[1].batches, appends)
	}
}

// Ordinary streams that have something in each round, but need little, do not
// hold an urgent one to as little: it waits for a batch of each of them at most.
func TestUrgentTakesWhatOrdinaryStreamsDoNotNeed(t *testing.T) {
	offers := map[string]func(p *Producer){
		"records": func(p *Producer) { _ = p.WriteAt(1, journal.KindData, 0, make([]byte, 100)) },
		"losses":  loseNow,
	}
	for name, offer := range offers {
		t.Run(name, func(t *testing.T) {
			rig := newTurnsRig(t)
			urgent := rig.add("urgent", 64<<10, true)
			var ordinary []*turnsStream
			for _, name := range []string{"a", "b", "c", "d"} {
				ordinary = append(ordinary, rig.add(name, 64<<10, false))
			}
			appends, waits := 0, 0
			rig.archive.before = func(_ int, frames []byte) (int, error) {
				if s := rig.wrote(frames); s == urgent {
					urgent.fill()
					waits = 0
				} else if waits++; waits > len(ordinary) {
					t.Fatalf("append %d: the urgent stream waits for the %dth ordinary batch, with %d bytes to %d", appends, waits, urgent.bytes, s.bytes)
				}
				offer(ordinary[appends%len(ordinary)].p) // the next one's turn finds it
				appends++
				return 0, nil
			}
			urgent.fill()
			for appends < 1000 {
				rig.a.round()
			}
		})
	}
}

// loseNow books a loss that has waited for a record for long enough.
func loseNow(p *Producer) {
	p.Lose(1, 1, journal.LossTooLarge)
	p.lane.idleSince = time.Now().Add(-lossDelay)
}

// Losses count against the share, too: an urgent lane that has nothing else, but
// always one more, does not keep ordinary ones waiting.
func TestUrgentLossesHaveNoMoreThanTheirShare(t *testing.T) {
	rig := newTurnsRig(t)
	urgent, ordinary := rig.add("urgent", 4<<10, true), rig.add("ordinary", 4<<10, false)
	appends := 0
	rig.archive.before = func(_ int, frames []byte) (int, error) {
		rig.wrote(frames)
		loseNow(urgent.p)
		ordinary.fill()
		if appends++; urgent.bytes > ordinary.bytes+urgent.largest {
			t.Fatalf("append %d: losses have taken %d bytes, and ordinary records %d", appends, urgent.bytes, ordinary.bytes)
		}
		return 0, nil
	}
	loseNow(urgent.p)
	ordinary.fill()
	for appends < 1000 {
		rig.a.round()
	}
}

// Nobody saves up a share: after a time when only one kind had records, the
// kinds take turns as if both had just begun.
func TestShareIsNotSavedUp(t *testing.T) {
	for _, urgentFirst := range []bool{true, false} {
		rig := newTurnsRig(t)
		alone, other := rig.add("a", 8<<10, urgentFirst), rig.add("b", 8<<10, !urgentFirst)
		both, appends := false, 0
		rig.archive.before = func(_ int, frames []byte) (int, error) {
			rig.wrote(frames)
			alone.fill()
			if both {
				other.fill()
			}
			appends++
			return 0, nil
		}
		alone.fill()
		for appends < 100 {
			rig.a.round()
		}
		both, alone.bytes = true, 0
		for appends < 200 {
			rig.a.round()
		}
		if d := alone.bytes - other.bytes; d < -2*alone.largest || d > 3*other.largest {
			t.Errorf("urgent first %v: the stream that was alone has %d bytes, the other %d", urgentFirst, alone.bytes, other.bytes)
		}
	}
}

// A disk that takes a tenth of what ordinary streams offer: they lose records,
// and an urgent stream within its share none. Nor does it when the disk stands
// still for as long as its lane lasts.
func TestOverloadHitsOrdinaryStreams(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			const perSecond = 10 << 20 // of the disk
			f := new(fakeArchive)
			f.before = func(n int, frames []byte) (int, error) {
				time.Sleep(time.Duration(len(frames)) * time.Second / perSecond)
				if n == 200 {
					time.Sleep(10 * time.Millisecond) // 40 urgent records; the lane takes 64
				}
				return 0, nil
			}
			r := startFake(t, f, &Options{LaneSize: 64 << 10})
			urgent := mustProducer(t, r, "urgent", &ProducerOptions{Urgent: true, Shared: shared})
			const ordinary = 10
			stop := make(chan struct{})
			done := make(chan struct{}, ordinary)
			for i := range ordinary {
				p := mustProducer(t, r, string(rune('a'+i)), &ProducerOptions{Shared: shared})
				go func() {
					defer func() { done <- struct{}{} }()
					for {
						select {
						case <-stop:
							return
						case <-time.After(time.Millisecond): // 10 KiB each, 100 MiB/s in all
							for range 10 {
								_, _ = p.Write(make([]byte, 1000))
							}
						}
					}
				}()
			}
			const offered = 8000 // 4 MiB/s, two seconds
			for i := range offered {
				if _, err := urgent.Write(record(nil, 0, i, 992)); err != nil {
					t.Errorf("record %d: %v", i, err)
					break
				}
				time.Sleep(time.Second / 4000)
			}
			close(stop)
			for range ordinary {
				<-done
			}
			mustClose(t, r)
			for _, s := range r.Stats().Streams {
				switch {
				case s.Urgent != (s.Name == "urgent"):
					t.Errorf("stream %s: urgent %v", s.Name, s.Urgent)
				case s.Urgent && (s.Records != offered || s.Lost != 0):
					t.Errorf("urgent: %d records, %d lost", s.Records, s.Lost)
				case !s.Urgent && (s.Lost == 0 || s.Records < 500):
					t.Errorf("stream %s: %d records, %d lost", s.Name, s.Records, s.Lost)
				}
			}
		})
	})
}

// Where ordinary lanes have taken the memory there is some for urgent ones, and
// what those take is nobody else's.
func TestUrgentMemory(t *testing.T) {
	open := func(r *Recorder, urgent bool) error {
		_, err := r.Producer(string(rune('a'+len(r.streams))), &ProducerOptions{Urgent: urgent})
		return err
	}
	tests := []struct {
		name    string
		reserve int
		opens   string // u: an urgent producer, o: an ordinary one; upper case: refused
	}{
		{"reserved for urgent", 8192, "ooOuuUO"},
		{"urgent first", 8192, "uuooOU"},
		{"urgent in the common memory", 8192, "uuuoOU"},
		{"urgent in all the memory", 8192, "uuuuUO"},
		{"none reserved", -1, "ooUO"},
		{"no limit for urgent", math.MaxInt, "uoouuO"},
		{"default", 0, "oouuuuuuuuuuuuuuuuO"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := startFake(t, new(fakeArchive), &Options{LaneSize: 4096, MemoryLimit: 8192, UrgentMemory: test.reserve})
			want, urgentWant := 0, 0
			for i, c := range test.opens {
				err := open(r, strings.ContainsRune("uU", c))
				if (err != nil) != strings.ContainsRune("OU", c) {
					t.Errorf("producer %d: %v", i, err)
				}
				if err != nil && strings.Contains(err.Error(), "UrgentMemory") != (c == 'U') {
					t.Errorf("producer %d: %v", i, err)
				}
				if err == nil {
					want += 4096
				}
				if err == nil && c == 'u' {
					urgentWant += 4096
				}
			}
			if s := r.Stats(); s.LaneMemory != want || s.UrgentMemory != urgentWant {
				t.Errorf("lanes take %d bytes, urgent ones %d; want %d, %d", s.LaneMemory, s.UrgentMemory, want, urgentWant)
			}
			mustClose(t, r)
			if s := r.Stats(); s.LaneMemory != 0 || s.UrgentMemory != 0 {
				t.Errorf("%d and %d bytes after Close", s.LaneMemory, s.UrgentMemory)
			}
		})
	}
}

// An ordinary producer that waits for the memory of a retired lane does not
// hold up an urgent one, for which there is room.
func TestUrgentProducerDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, release := stalled()
		r := startFake(t, f, &Options{MemoryLimit: DefaultLaneSize})
		p := mustProducer(t, r, "a", nil)
		mustWrite(t, p, "x")
		_ = p.Close()
		made := make(chan error)
		go func() {
			_, err := r.Producer("b", nil)
			made <- err
		}()
		synctest.Wait()
		mustProducer(t, r, "c", &ProducerOptions{Urgent: true})
		select {
		case err := <-made:
			t.Error("there was room for an ordinary lane:", err)
		default:
		}
		release()
		if err := <-made; err != nil {
			t.Error(err)
		}
		mustClose(t, r)
	})
}

// A lane that is larger than all the memory there is does not wait for some.
func TestLaneBeyondTheLimitDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, release := stalled()
		r := startFake(t, f, &Options{MemoryLimit: DefaultLaneSize, UrgentMemory: -1})
		p := mustProducer(t, r, "a", nil)
		mustWrite(t, p, "x")
		_ = p.Close()
		for _, urgent := range []bool{false, true} {
			if _, err := r.Producer("b", &ProducerOptions{LaneSize: 2 * DefaultLaneSize, Urgent: urgent}); err == nil {
				t.Error("the lane was made")
			}
		}
		release()
		mustClose(t, r)
	})
}

// A stream that becomes urgent keeps the order of its records: those in its
// ordinary lane come first, while it runs and at Close.
func TestStreamBecomesUrgent(t *testing.T) {
	for _, closing := range []bool{false, true} {
		f, release := stalled()
		r := startFake(t, f, nil)
		mustWrite(t, mustProducer(t, r, "other", nil), "x")
		for i := range 4 {
			p := mustProducer(t, r, "a", &ProducerOptions{Urgent: i%2 == 1})
			mustWrite(t, p, string(rune('0'+i)))
			if i == 3 {
				break
			}
			_ = p.Close()
		}
		if s := streamStats(t, r, "a"); !s.Urgent {
			t.Error("not urgent")
		}
		if closing {
			r.stop()
		}
		release()
		mustClose(t, r)
		got := ""
		for _, rec := range replay(t, f.all(), 2).data {
			got += string(rec.Payload)
		}
		if got != "0123" {
			t.Errorf("closing %v: records %q", closing, got)
		}
	}
}

// Close writes urgent lanes first: when it runs out of time, ordinary ones are
// given up.
func TestCloseWritesUrgentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeArchive)
		f.before = func(n int, _ []byte) (int, error) {
			if n < 3 { // the fourth has what is given up
				time.Sleep(time.Second)
			}
			return 0, nil
		}
		r := startFake(t, f, nil)
		p := mustProducer(t, r, "a", nil)
		mustWrite(t, p, "first")
		synctest.Wait() // it is being written
		mustWrite(t, p, "a")
		for _, name := range []string{"b", "c"} { // one is next in any case, the other when the lanes are frozen
			mustWrite(t, mustProducer(t, r, name, &ProducerOptions{Urgent: true}), name)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		err := r.Close(ctx)
		var lost *NotWrittenError
		if !errors.As(err, &lost) || len(lost.Streams) != 1 || lost.Streams[0].Name != "a" {
			t.Error(err)
		}
		for _, name := range []string{"b", "c"} {
			if s := streamStats(t, r, name); s.Records != 1 {
				t.Errorf("stats %+v", s)
			}
		}
	})
}

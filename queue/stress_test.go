package queue

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// pause lets others run; a test that polls calls it when it finds nothing.
func pause() { runtime.Gosched() }

// stressRecords is how many records each producer writes in one configuration.
func stressRecords() int {
	switch {
	case testing.Short():
		return 500
	case raceEnabled:
		return 1200
	}
	return 12000
}

// A record of a stress test tells its producer and its number in its type, and
// everything else about it follows from these two.
func stressType(id, seq int) int32 { return int32(seq&0x7fffff)<<8 | int32(id+1) }

func stressLen(id, seq, limit int) int {
	h := uint32(seq*31+id)*2654435761>>7 ^ uint32(seq)
	switch h % 16 {
	case 0:
		return limit - int(h>>8)%min(limit, 9)
	case 1, 2:
		return int(h>>8) % (limit + 1)
	default:
		return int(h>>8) % (min(limit, 64) + 1)
	}
}

func stressFill(b []byte, id, seq int) {
	x := uint64(seq)*0x9E3779B97F4A7C15 + uint64(id)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, x)
		b, x = b[8:], x*0x9E3779B97F4A7C15+1
	}
	for i := range b {
		b[i] = byte(x >> (8 * i))
	}
}

// stressReader checks each record against what its producer must have written.
type stressReader struct {
	next  [256]int
	total int
	limit int
	want  []byte
}

func (s *stressReader) got(typ int32, rec []byte) {
	id := int(typ&0xff) - 1
	if id < 0 {
		panic(fmt.Sprintf("type %#x", typ))
	}
	seq := s.next[id]
	s.next[id]++
	s.total++
	if typ != stressType(id, seq) {
		panic(fmt.Sprintf("producer %d: type %#x, want %#x (record %d)", id, typ, stressType(id, seq), seq))
	}
	want := s.want[:stressLen(id, seq, s.limit)]
	stressFill(want, id, seq)
	if string(want) != string(rec) {
		panic(fmt.Sprintf("producer %d, record %d: % x, want % x", id, seq, rec, want))
	}
}

// stressWrite writes record seq of producer id in one of the ways there are.
func stressWrite(w writer, id, seq, limit int, buf []byte) error {
	typ, n := stressType(id, seq), stressLen(id, seq, limit)
	switch seq % 7 {
	case 0, 1: // claim, deferred abort
		c, err := w.TryClaimTyped(typ, n)
		if err != nil {
			return err
		}
		defer c.Abort()
		stressFill(c.Bytes(), id, seq)
		c.Commit()
		return nil
	case 2: // more than needed
		c, err := w.TryClaimTyped(typ, min(n+seq%41, limit))
		if err != nil {
			return err
		}
		stressFill(c.Bytes(), 99, 99)
		stressFill(c.Bytes()[:n], id, seq)
		c.CommitN(n)
		return nil
	}
	stressFill(buf[:n], id, seq)
	return w.WriteTyped(typ, buf[:n])
}

// stressProduce writes count records and waits when the ring is full.
func stressProduce(w writer, id, count, limit int) {
	buf := make([]byte, limit)
	for seq := 0; seq < count; {
		switch err := stressWrite(w, id, seq, limit, buf); err {
		case nil:
			seq++
			if seq%7 == 3 { // something that is given back
				if c, err := w.TryClaimTyped(1<<30, seq%(limit+1)); err == nil {
					stressFill(c.Bytes(), 98, 98)
					c.Abort()
				}
			}
		case ErrFull:
			pause()
		default:
			panic(err)
		}
	}
}

// stressReads is the ways to read; each reads some records and says how many.
var stressReads = map[string]func(r reader, s *stressReader) int{
	"Next": func(r reader, s *stressReader) int {
		rec, ok := r.Next()
		if !ok {
			return 0
		}
		s.got(r.Type(), rec)
		return 1
	},
	"Drain": func(r reader, s *stressReader) int { return r.Drain(100, s.got) },
	"Peek": func(r reader, s *stressReader) int {
		a := r.Peek(4096)
		b := r.Peek(1 << 20) // a second one while the first is held
		for _, span := range []Span{a, b} {
			list, err := parse(span.Frames())
			if err != nil {
				panic(err)
			}
			for _, f := range list {
				if f.typ != typeSkip {
					s.got(f.typ, f.payload)
				}
			}
		}
		if a.Records() > 0 {
			r.ReleaseTo(a.End())
		}
		if b.Records() > 0 {
			r.ReleaseTo(b.End())
		}
		return a.Records() + b.Records()
	},
}

func stressConsume(r reader, read func(reader, *stressReader) int, total, limit int) {
	s := &stressReader{limit: limit, want: make([]byte, limit)}
	for s.total < total {
		if read(r, s) == 0 {
			pause()
		}
	}
	if _, ok := r.Next(); ok {
		panic("more records than were written")
	}
}

func TestStress(t *testing.T) {
	for _, capacity := range []int{64, 512, 1 << 14, 4 << 20} {
		count := stressRecords()
		if capacity < 4096 { // a hand-over every few records: each costs a switch
			count /= 8
		}
		limit := min(capacity-16, 4096)
		for name, read := range stressReads {
			for _, producers := range []int{1, 2, 4} {
				each := count / producers
				start := starts[(producers+len(name))%len(starts)].pos
				if producers == 1 {
					t.Run(fmt.Sprintf("SPSC/%d/%s", capacity, name), func(t *testing.T) {
						w, c := newRingAt(t, false, capacity, start)
						go stressProduce(w, 0, each, limit)
						stressConsume(c, read, each, limit)
					})
				}
				t.Run(fmt.Sprintf("MPSC %d/%d/%s", producers, capacity, name), func(t *testing.T) {
					w, c := newRingAt(t, true, capacity, start)
					for id := range producers {
						go stressProduce(w, id, each, limit)
					}
					stressConsume(c, read, each*producers, limit)
				})
				t.Run(fmt.Sprintf("FanIn %d/%d/%s", producers, capacity, name), func(t *testing.T) {
					f := must(newFanIn(capacity, start))
					const lives = 3 // lanes that each goroutine has, one after the other
					for id := range producers {
						go func() {
							for life := range lives {
								p := must(f.NewProducer())
								stressProduce(p, id*lives+life, each/lives, limit)
								p.Close()
							}
						}()
					}
					stressConsume(f, read, each/lives*lives*producers, limit)
				})
			}
		}
	}
}

// Close comes while producers claim, fill and commit, and some of them never
// settle a claim, or write to it late. What the producers were told is what
// the consumer gets.
func TestStressClose(t *testing.T) {
	rounds := 300
	if raceEnabled || testing.Short() {
		rounds = 60
	}
	for round := range rounds {
		capacity := 64 << (round % 4)
		p, c, _ := newMPSC(capacity, starts[round%len(starts)].pos)
		var committed, forgotten atomic.Int64
		var wg sync.WaitGroup
		for g := range 3 {
			wg.Go(func() {
				for i := 0; ; i++ {
					cl, err := p.TryClaim((i*5 + g*3) % 41)
					switch {
					case err == ErrClosed:
						return
					case err != nil:
						pause()
						continue
					case round%3 == 0 && i == 50+g: // forgets it, and writes late
						forgotten.Add(1)
						pause()
						copy(cl.Bytes(), pattern255(48))
						continue
					}
					copy(cl.Bytes(), pattern255(48))
					ok := false
					if i%2 == 0 {
						ok = cl.Commit()
					} else {
						ok = cl.CommitN(len(cl.Bytes()) / 2)
					}
					if ok {
						committed.Add(1)
					}
				}
			})
		}
		got := int64(0)
		read := func() int {
			return c.Drain(20, func(_ int32, rec []byte) {
				got++
				if string(rec) != string(pattern255(len(rec))) {
					t.Errorf("record % x", rec)
				}
			})
		}
		for i := 0; i < 20+round%200; i++ {
			if read() == 0 {
				pause()
			}
		}
		p.Close()
		for !c.Drained() {
			if read() == 0 {
				pause()
			}
		}
		wg.Wait()
		if got != committed.Load() || read() != 0 {
			t.Fatalf("round %d: %d records committed, %d delivered (%d claims forgotten)", round, committed.Load(), got, forgotten.Load())
		}
		if s := p.Stats(); s.Records != uint64(got) || s.Abandoned < uint64(forgotten.Load()) {
			t.Fatalf("round %d: %+v, %d forgotten", round, s, forgotten.Load())
		}
	}
}

// A producer that has seen room must find it: with one record of the ring's
// size in use at most, a refusal is wrong however the loads are ordered. Two
// producers take turns with the consumer over a ring that is never more than
// half full.
func TestNoSpuriousFull(t *testing.T) {
	count := stressRecords()
	p, c, _ := NewMPSC(64)
	var permits atomic.Int64 // records of 8 bytes that may be in use: 2 of 3
	permits.Store(2)
	var wg sync.WaitGroup
	var refused atomic.Int64
	for range 2 {
		wg.Go(func() {
			for n := 0; n < count; {
				v := permits.Load()
				if v == 0 {
					pause()
					continue
				}
				if !permits.CompareAndSwap(v, v-1) {
					continue
				}
				if _, err := p.Write([]byte("8 bytes.")); err != nil {
					refused.Add(1)
					permits.Add(1)
				}
				n++
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		if _, ok := c.Next(); ok {
			c.Release()
			permits.Add(1)
			continue
		}
		select {
		case <-done:
			if n := refused.Load(); n != 0 {
				t.Errorf("%d of %d writes refused with room for them", n, 2*count)
			}
			return
		default:
			pause()
		}
	}
}

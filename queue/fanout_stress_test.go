package queue

import (
	"fmt"
	"sync"
	"testing"
)

// Producers, a forwarder and workers on goroutines of their own. By key, the
// key being the producer, each producer's records reach one worker in order; in
// turn, each worker's are in order and together they are all.
func TestFanOutStress(t *testing.T) {
	for _, capacity := range []int{64, 1 << 12, 1 << 18} {
		for name, open := range stressSources {
			for _, byKey := range []bool{true, false} {
				for _, workers := range []int{1, 3} {
					t.Run(fmt.Sprintf("%d/%s/by key %v/%d", capacity, name, byKey, workers), func(t *testing.T) {
						stressFanOut(t, capacity, workers, byKey, open)
					})
				}
			}
		}
	}
}

type stressSource struct {
	from    Source
	writers []writer
	drained func() bool
}

var stressSources = map[string]func(capacity int) stressSource{
	"SPSC": func(capacity int) stressSource {
		w, c, _ := newSPSC(capacity, 1<<64-64)
		return stressSource{c, []writer{w}, c.Drained}
	},
	"MPSC": func(capacity int) stressSource {
		w, c, _ := newMPSC(capacity, 1<<32-64)
		return stressSource{c, []writer{w, w}, c.Drained}
	},
	"Priority": func(capacity int) stressSource {
		ws, p, _ := newPriority(2, capacity, 1<<64-64)
		return stressSource{p, []writer{ws[1], ws[0]}, p.Drained}
	},
	"FanIn":         func(capacity int) stressSource { return stressFanIn(newFanIn(capacity, 1<<63-64)) },
	"FanIn by time": func(capacity int) stressSource { return stressFanIn(NewFanInByTime(capacity, 0)) },
}

func stressFanIn(f *FanIn, err error) stressSource {
	must(f, err)
	ws := []writer{must(f.NewProducer()), must(f.NewProducer())}
	f.Close()
	return stressSource{f, ws, f.Drained}
}

func stressFanOut(t *testing.T, capacity, workers int, byKey bool, open func(int) stressSource) {
	each := stressRecords() / 4
	if capacity < 4096 {
		each /= 8
	}
	limit := min(capacity-16, 1024)
	s := open(capacity)
	f, cs := newFanOutAt(t, workers, capacity, 1<<31-64)
	var producers, readers sync.WaitGroup
	for id, w := range s.writers {
		producers.Go(func() { stressProduce(w, id, each, limit) })
	}
	go func() {
		producers.Wait()
		for _, w := range s.writers {
			w.Close()
		}
	}()
	got := make([][]int, workers) // by worker, the numbers of what it got from each producer
	for w, c := range cs {
		readers.Go(func() {
			if byKey {
				got[w] = stressByKey(c, limit)
			} else {
				got[w] = stressInTurn(c, limit)
			}
		})
	}
	var key func(int32, []byte) uint64
	if byKey {
		key = func(typ int32, _ []byte) uint64 { return uint64(typ & 0xff) }
	}
	moved := 0
	for !s.drained() {
		n, err := f.Forward(s.from, 64, key)
		if moved += n; err != nil && err != ErrFull {
			panic(err)
		}
		if n == 0 {
			pause()
		}
	}
	f.Close()
	readers.Wait()
	total := 0
	for _, g := range got {
		for _, n := range g {
			total += n
		}
	}
	if want := each * len(s.writers); total != want || moved != want {
		t.Errorf("%d records sent, %d moved, %d received", want, moved, total)
	}
	if st := f.Stats(); st.Records != uint64(total) {
		t.Errorf("%+v", st)
	}
}

// stressByKey reads to the end; of a producer, all records or none come here.
func stressByKey(c *Consumer, limit int) []int {
	r := &stressReader{limit: limit, want: make([]byte, limit)}
	for !c.Drained() {
		if c.Drain(50, r.got) == 0 {
			pause()
		}
	}
	return r.next[:]
}

// stressInTurn reads to the end: each producer's records with rising numbers.
func stressInTurn(c *Consumer, limit int) []int {
	r := &stressReader{limit: limit, want: make([]byte, limit)}
	count := make([]int, 256)
	for !c.Drained() {
		n := c.Drain(50, func(typ int32, rec []byte) {
			id, seq := int(typ&0xff)-1, int(typ>>8)
			if seq < r.next[id] {
				panic(fmt.Sprintf("producer %d: record %d behind %d", id, seq, r.next[id]-1))
			}
			count[id]++
			r.next[id] = seq
			r.got(typ, rec)
		})
		if n == 0 {
			pause()
		}
	}
	return count
}

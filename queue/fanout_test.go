package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"
)

var (
	_ Source = (*Consumer)(nil)
	_ Source = (*FanIn)(nil)
)

func newFanOutAt(t testing.TB, workers, capacity int, start uint64) (*FanOut, []*Consumer) {
	t.Helper()
	f, cs, err := newFanOut(workers, capacity, start)
	if err != nil {
		t.Fatal(err)
	}
	return f, cs
}

// keyOf is a key of worker w.
func keyOf(f *FanOut, w int) uint64 {
	for k := uint64(0); ; k++ {
		if f.Worker(k) == w {
			return k
		}
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func TestFanOutArguments(t *testing.T) {
	for _, c := range []struct{ workers, capacity int }{{0, 64}, {-1, 64}, {1025, 64}, {2, 0}, {2, 1<<30 + 1}} {
		if _, _, err := NewFanOut(c.workers, c.capacity); err == nil {
			t.Errorf("NewFanOut(%d, %d): no error", c.workers, c.capacity)
		}
	}
	f, cs, err := NewFanOut(1024, 65)
	if err != nil || len(cs) != 1024 || cs[1023].Capacity() != 128 || f.Workers() != 1024 {
		t.Error(err, len(cs), f.Workers())
	}
	wantPanic(t, func() { f.Send(1, 0, nil) }, "record type 0")
	wantPanic(t, func() { f.SendNext(-1, nil) }, "record type -1")
	wantPanic(t, func() { f.TryClaim(1, 0, 0) }, "record type 0")
	wantPanic(t, func() { f.TryClaimNext(0, 0) }, "record type 0")
	_, err = f.TryClaim(1, 1, -1)
	wantErr(t, "a negative claim", err, ErrTooLarge)
}

func TestFanOutByKey(t *testing.T) {
	f, cs := newFanOutAt(t, 3, 1024, 0)
	for i := range 30 {
		key := uint64(i % 10)
		if i%3 == 0 {
			c := must(f.TryClaim(key, 7, 2))
			copy(c.Bytes(), []byte{byte(key), byte(i)})
			c.Commit()
			continue
		}
		wantErr(t, "Send", f.Send(key, 7, []byte{byte(key), byte(i)}), nil)
	}
	for w, c := range cs {
		last := map[byte]byte{}
		c.Drain(100, func(typ int32, rec []byte) {
			if typ != 7 || f.Worker(uint64(rec[0])) != w || rec[1]%10 != rec[0] {
				t.Errorf("worker %d: type %d, record % x", w, typ, rec)
			}
			if before, ok := last[rec[0]]; ok && before+10 != rec[1] || !ok && rec[1] >= 10 {
				t.Errorf("worker %d: key %d: %d behind %d", w, rec[0], rec[1], before)
			}
			last[rec[0]] = rec[1]
		})
	}
	if s := f.Stats(); s.Records != 30 || s.Bytes != 60 {
		t.Errorf("%+v", s)
	}
}

// Keys that differ in few bits, wherever they are, spread over all workers.
func TestFanOutSpreadsKeys(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 7, 8, 16} {
		f, _ := newFanOutAt(t, workers, 64, 0)
		for _, shift := range []uint{0, 4, 12, 32, 48} {
			count := make([]int, workers)
			const keys = 1 << 14
			for k := range uint64(keys) {
				count[f.Worker(k<<shift)]++
			}
			for w, n := range count {
				if mean := keys / workers; n < mean*4/5 || n > mean*6/5 {
					t.Errorf("%d workers, keys shifted by %d: worker %d has %d of %d", workers, shift, w, n, keys)
				}
			}
		}
	}
}

// Which worker a key has is part of what stays: a program that is restarted
// finds its state by it.
func TestFanOutWorkerIsStable(t *testing.T) {
	f, _ := newFanOutAt(t, 1000, 64, 0)
	for key, want := range map[uint64]int{0: 0, 1: 338, 2: 858, 1 << 32: 844, 1<<64 - 1: 706} {
		if got := f.Worker(key); got != want {
			t.Errorf("key %#x: worker %d, want %d", key, got, want)
		}
	}
}

func TestFanOutInTurn(t *testing.T) {
	f, cs := newFanOutAt(t, 3, 64, 0) // three records of 8 bytes each
	turn := []int{0, 1, 2, 0, 1, 2, 0, 1, 2}
	for i := range turn {
		wantErr(t, "SendNext", f.SendNext(1, binary.LittleEndian.AppendUint64(nil, uint64(i))), nil)
	}
	wantErr(t, "SendNext", f.SendNext(1, make([]byte, 8)), ErrFull)
	for w := range cs {
		if s := f.WorkerStats(w); s.Full != 1 {
			t.Errorf("worker %d: full %d times", w, s.Full)
		}
	}
	drop := func(w int) { cs[w].Next(); cs[w].Release() }
	drop(1)
	wantErr(t, "SendNext, one has room", f.SendNext(1, []byte("to 1")), nil)
	drop(0)
	drop(1)
	drop(2)
	// Worker 1 took the last one: 2 is next.
	for i, w := range []int{2, 0, 1} {
		c, err := f.TryClaimNext(1, 5)
		wantErr(t, "TryClaimNext", err, nil)
		copy(c.Bytes(), fmt.Sprintf("%d to%d", i, w))
		c.Commit()
	}
	_, err := f.TryClaimNext(1, 5)
	wantErr(t, "TryClaimNext", err, ErrFull)
	for w, c := range cs {
		var last string
		c.Drain(100, func(_ int32, rec []byte) { last = string(rec) })
		if last[1:] != fmt.Sprintf(" to%d", w) {
			t.Errorf("worker %d: last record %q", w, last)
		}
	}
}

// A full lane refuses its keys, and no record goes elsewhere.
func TestFanOutBackpressure(t *testing.T) {
	f, cs := newFanOutAt(t, 2, 64, 0)
	a, b := keyOf(f, 0), keyOf(f, 1)
	for range 3 {
		wantErr(t, "Send", f.Send(a, 1, make([]byte, 8)), nil)
	}
	for range 5 {
		wantErr(t, "Send to the full lane", f.Send(a, 1, make([]byte, 8)), ErrFull)
	}
	_, err := f.TryClaim(a, 1, 8)
	wantErr(t, "TryClaim of the full lane", err, ErrFull)
	wantErr(t, "Send to the other", f.Send(b, 1, nil), nil)
	if s0, s1, s := f.WorkerStats(0), f.WorkerStats(1), f.Stats(); s0.Full != 6 || s1.Full != 0 || s.Full != 6 {
		t.Errorf("full: %d, %d, together %d", s0.Full, s1.Full, s.Full)
	}
	if s := cs[0].Stats(); s != f.WorkerStats(0) || s.HighWater != 48 {
		t.Errorf("the worker sees %+v", s)
	}
	wantErr(t, "too large", f.Send(a, 1, make([]byte, 49)), ErrTooLarge)
	wantErr(t, "too large", f.SendNext(1, make([]byte, 49)), ErrTooLarge)
	_, err = f.TryClaimNext(1, 49)
	wantErr(t, "too large", err, ErrTooLarge)
}

// Workers get what was sent before Close, and then are drained.
func TestFanOutClose(t *testing.T) {
	f, cs := newFanOutAt(t, 2, 64, 0)
	f.SendNext(1, []byte("for 0"))
	open := must(f.TryClaimNext(1, 5))
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	wantErr(t, "Send", f.Send(0, 1, nil), ErrClosed)
	wantErr(t, "SendNext", f.SendNext(1, nil), ErrClosed)
	_, err := f.TryClaim(0, 1, 0)
	wantErr(t, "TryClaim", err, ErrClosed)
	_, err = f.TryClaimNext(1, 0)
	wantErr(t, "TryClaimNext", err, ErrClosed)
	if open.Commit() {
		t.Error("a claim of a closed FanOut was committed")
	}
	if cs[0].Drained() || !cs[1].Drained() {
		t.Error("drained too early, or not")
	}
	wantNext(t, cs[0], 1, []byte("for 0"))
	wantNothing(t, cs[0])
	if !cs[0].Drained() {
		t.Error("not drained")
	}
	_, c, _ := NewSPSC(64)
	if n, err := f.Forward(c, 10, nil); n != 0 || err != nil {
		t.Errorf("Forward of nothing: %d, %v", n, err)
	}
}

func TestFanOutNoAllocations(t *testing.T) {
	f, cs := newFanOutAt(t, 4, 1024, 0)
	p, from, _ := NewSPSC(1024)
	rec := make([]byte, 40)
	key := uint64(0)
	byKey := func(int32, []byte) uint64 { key++; return key }
	sink := func(int32, []byte) {}
	for name, send := range map[string]func(){
		"Send":           func() { f.Send(key, 1, rec) },
		"SendNext":       func() { f.SendNext(1, rec) },
		"TryClaim":       func() { c, _ := f.TryClaim(key, 1, 40); copy(c.Bytes(), rec); c.Commit() },
		"TryClaimNext":   func() { c, _ := f.TryClaimNext(1, 40); copy(c.Bytes(), rec); c.Abort() },
		"ErrFull":        func() { f.Send(key, 1, make([]byte, 900)); f.Send(key, 1, make([]byte, 900)) },
		"Forward by key": func() { p.Write(rec); p.Write(rec); f.Forward(from, 10, byKey) },
		"Forward":        func() { p.Write(rec); p.Write(rec); f.Forward(from, 10, nil) },
		"Stats":          func() { f.Stats(); f.WorkerStats(1); f.Worker(3); f.Workers() },
	} {
		if n := testing.AllocsPerRun(200, func() {
			key++
			send()
			for _, c := range cs {
				c.Drain(10, sink)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// What no lane takes stays in the source, for each kind of source.
func TestFanOutForwardLosesNothing(t *testing.T) {
	type source struct {
		w    writer
		from Source
		next func() ([]byte, bool)
	}
	sources := map[string]func(start uint64) source{
		"SPSC": func(start uint64) source { w, c, _ := newSPSC(512, start); return source{w, c, c.Next} },
		"MPSC": func(start uint64) source { w, c, _ := newMPSC(512, start); return source{w, c, c.Next} },
		"Priority": func(start uint64) source {
			ws, p, _ := newPriority(2, 512, start)
			return source{ws[1], p, p.Next}
		},
		"FanIn": func(start uint64) source {
			f := must(newFanIn(512, start))
			return source{must(f.NewProducer()), f, f.Next}
		},
		"FanIn by time": func(start uint64) source {
			f := must(newFanInByTime(512, start, 0, func() time.Duration { return 0 }))
			return source{must(f.NewProducer()), f, f.Next}
		},
	}
	for name, open := range sources {
		for _, start := range starts {
			t.Run(name+"/"+start.name, func(t *testing.T) {
				s := open(start.pos)
				f, cs := newFanOutAt(t, 2, 64, start.pos)
				key := func(_ int32, rec []byte) uint64 { return keyOf(f, int(rec[0])) }
				send := func(w, i byte) { mustWrite(t, s.w, []byte{w, i, 2, 3, 4, 5, 6, 7}) }
				for i := range byte(5) {
					send(0, i)
				}
				send(1, 5)
				forward := func(limit, want int, wantErr error) {
					t.Helper()
					if n, err := f.Forward(s.from, limit, key); n != want || err != wantErr {
						t.Fatalf("Forward: %d, %v; want %d, %v", n, err, want, wantErr)
					}
				}
				forward(0, 0, nil)
				forward(1, 1, nil)
				forward(100, 2, ErrFull)
				forward(100, 0, ErrFull)
				if st := f.WorkerStats(0); st.Full != 2 {
					t.Errorf("worker 0: %+v", st)
				}
				wantNothing(t, cs[1]) // it does not overtake
				wantNext(t, cs[0], 1, []byte{0, 0, 2, 3, 4, 5, 6, 7})
				cs[0].Release()
				forward(100, 1, ErrFull)
				// The caller may take what does not fit himself.
				if rec, ok := s.next(); !ok || rec[1] != 4 {
					t.Fatalf("the record that did not fit: % x, %v", rec, ok)
				}
				forward(100, 1, nil)
				wantNext(t, cs[1], 1, []byte{1, 5, 2, 3, 4, 5, 6, 7})
				// A panic in key, and a record that is too large.
				mustWrite(t, s.w, bytes.Repeat([]byte{1}, 49))
				wantPanic(t, func() { f.Forward(s.from, 9, func(int32, []byte) uint64 { panic("key") }) }, "key")
				forward(100, 0, ErrTooLarge)
				if rec, ok := s.next(); !ok || len(rec) != 49 {
					t.Fatalf("the record that is too large: %d bytes, %v", len(rec), ok)
				}
				f.Close()
				send(1, 6)
				forward(100, 0, ErrClosed)
				if rec, ok := s.next(); !ok || rec[1] != 6 {
					t.Fatalf("the record behind Close: % x, %v", rec, ok)
				}
				s.from.Release()
				if st := s.w.Stats(); st.Records != 8 {
					t.Errorf("%+v", st)
				}
			})
		}
	}
}

// A record that came after the choice does not take the place of the chosen
// one.
func TestFanOutForwardFromPriority(t *testing.T) {
	ps, p := newPriorityAt(t, 2, 256, 0)
	f, cs := newFanOutAt(t, 1, 256, 0)
	mustWrite(t, ps[1], []byte("first"))
	n, err := f.Forward(p, 10, func(_ int32, rec []byte) uint64 {
		if string(rec) == "first" {
			mustWrite(t, ps[0], []byte("urgent"))
		}
		return 0
	})
	if n != 2 || err != nil {
		t.Fatal(n, err)
	}
	wantNext(t, cs[0], 1, []byte("first"))
	wantNext(t, cs[0], 1, []byte("urgent"))
	wantNothing(t, cs[0])
	wantNothing(t, p)

	// One that waits for its lane gives way to an urgent one.
	f, cs = newFanOutAt(t, 1, 64, 0)
	for range 3 {
		mustWrite(t, ps[1], []byte("8 bytes."))
	}
	mustWrite(t, ps[1], []byte("waits"))
	f.Forward(p, 10, nil)
	mustWrite(t, ps[0], []byte("urgent"))
	cs[0].Next()
	cs[0].Release()
	if n, err := f.Forward(p, 10, nil); n != 1 || err != ErrFull || p.Level() != 0 {
		t.Errorf("%d, %v, of level %d", n, err, p.Level())
	}
}

// Forward leaves a FanIn's turns as they are, and gives each record back.
func TestFanOutForwardFromFanIn(t *testing.T) {
	in := must(NewFanIn(64))
	hog, quiet := must(in.NewProducer()), must(in.NewProducer())
	mustWrite(t, hog, []byte("hog"))
	mustWrite(t, quiet, []byte("quiet"))
	f, cs := newFanOutAt(t, 1, 4096, 0)
	if n, err := f.Forward(in, 100, func(int32, []byte) uint64 { hog.Write([]byte("hog")); return 0 }); n != 100 || err != nil {
		t.Fatal(n, err)
	}
	at := 0
	for i := range 100 {
		if rec, _ := cs[0].Next(); string(rec) == "quiet" {
			at = i
		}
	}
	if at != 4 { // a turn is 64 bytes
		t.Errorf("the quiet producer's record is number %d", at)
	}
}

func TestFanOutForwardFromFanInByTime(t *testing.T) {
	in := must(newFanInByTime(64, 0, 0, func() time.Duration { return 0 }))
	a, b := must(in.NewProducer()), must(in.NewProducer())
	stamped := func(at uint64, n int) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, at), make([]byte, n)...)
	}
	mustWrite(t, a, stamped(1, 32)) // fills its lane
	mustWrite(t, b, stamped(2, 0))
	mustWrite(t, b, stamped(3, 0))
	f, _ := newFanOutAt(t, 1, 4096, 0)
	var order []uint64
	n, err := f.Forward(in, 100, func(_ int32, rec []byte) uint64 {
		at := binary.LittleEndian.Uint64(rec)
		order = append(order, at)
		switch at {
		case 1:
			wantErr(t, "a record, while the first is not taken", a.WriteTyped(1, stamped(4, 0)), ErrFull)
		case 3:
			mustWrite(t, a, stamped(4, 0))
		}
		return 0
	})
	if n != 4 || err != nil || fmt.Sprint(order) != "[1 2 3 4]" {
		t.Error(n, err, order)
	}
}

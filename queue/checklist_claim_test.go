package queue

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var checklistClaims = []property{
	{"a claim is not published", "many 27, one 21, mpsc 26, spsc 24", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			cl := must(w.TryClaimTyped(4, 13))
			if len(cl.Bytes()) != 13 || &cl.Bytes()[0] != &c.ring.mem.data[8] {
				t.Error("the payload is not behind the header")
			}
			want, tail := header(0), uint64(0)
			if shared {
				want, tail = claimMark(0, 21), 24
			}
			wantHeader(t, c, 0, want)
			if tailOf(w) != tail {
				t.Errorf("tail %d, want %d", tailOf(w), tail)
			}
		}},
	{"commit makes the length positive", "many 34, one 27, mpsc 30, spsc 28", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			cl := must(w.TryClaimTyped(4, 13))
			copy(cl.Bytes(), "thirteen char")
			if !cl.Commit() {
				t.Fatal("Commit: false")
			}
			wantHeader(t, c, 0, makeHeader(4, 21))
			wantNext(t, c, 4, []byte("thirteen char"))
		}},
	{"abort gives the space back, and no record appears", "many 38, one 31, mpsc 34, spsc 32", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			must(w.TryClaim(13)).Abort()
			want, tail := header(0), uint64(0)
			if shared {
				want, tail = makeSkip(24), 24
			}
			wantHeader(t, c, 0, want)
			if tailOf(w) != tail || w.Stats().Aborts != 1 {
				t.Errorf("tail %d, %+v", tailOf(w), w.Stats())
			}
			wantNothing(t, c)
			mustWrite(t, w, []byte("after"))
			wantNext(t, c, 1, []byte("after"))
		}},
	// Theirs take the index of a claim, which may be any number; a Claim
	// can only be none, or asked for a length that it does not have.
	{"what is not a claim is not settled", "many 31 35, one 24 28, mpsc 27 28 29 31 32 33, spsc 25 26 27 29 30 31", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			cl := must(w.TryClaim(7))
			before := imageOf(w, c)
			wantPanic(t, func() { Claim{}.Commit() }, "zero Claim")
			wantPanic(t, func() { Claim{}.CommitN(0) }, "zero Claim")
			Claim{}.Abort()
			for _, n := range []int{-2, -1, 8, 65} {
				wantPanic(t, func() { cl.CommitN(n) }, "of a claim of 7 bytes")
			}
			if imageOf(w, c) != before {
				t.Error("the ring has changed")
			}
			if !cl.Commit() {
				t.Error("the claim is not open any more")
			}
		}},
	{"a claim is committed once, and not after an abort", "many 32 33, one 25 26", bothKinds,
		func(t *testing.T, shared bool) {
			for name, settle := range map[string]func(Claim){"committed": func(c Claim) { c.Commit() }, "aborted": Claim.Abort} {
				w, c := newRingAt(t, shared, 64, 0)
				cl := must(w.TryClaim(8))
				settle(cl)
				before := imageOf(w, c)
				wantPanic(t, func() { cl.Commit() }, "8 bytes", "not open", "committed or aborted before")
				if imageOf(w, c) != before {
					t.Errorf("%s: the second Commit has changed the ring", name)
				}
			}
		}},
	// Theirs throw. Here it does nothing, for `defer c.Abort()`.
	{"an abort after the claim is settled does nothing", "many 36 37, one 29 30", bothKinds,
		func(t *testing.T, shared bool) {
			for name, settle := range map[string]func(Claim){"committed": func(c Claim) { c.Commit() }, "aborted": Claim.Abort} {
				w, c := newRingAt(t, shared, 64, 0)
				cl := must(w.TryClaim(8))
				settle(cl)
				before, stats := imageOf(w, c), w.Stats()
				cl.Abort()
				if imageOf(w, c) != before || w.Stats() != stats {
					t.Errorf("%s: the Abort has changed the ring", name)
				}
			}
		}},
}

var checklistReads = []property{
	{"nothing in an empty ring", "many 8, one 8, mpsc 14, spsc 14", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 40)
			before := imageOf(w, c)
			wantNothing(t, c)
			if c.Ready() || c.Drained() || c.Peek(100).Records() != 0 {
				t.Error("something in an empty ring")
			}
			if n := c.Drain(10, func(int32, []byte) { t.Error("called") }); n != 0 {
				t.Errorf("Drain: %d", n)
			}
			if imageOf(w, c) != before {
				t.Error("reading nothing has changed the ring")
			}
		}},
	{"a record that is being written is not there yet", "many 9, one 9, mpsc 16, spsc 16", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			cl := must(w.TryClaim(16))
			copy(cl.Bytes(), "all bytes there,")
			before := imageOf(w, c)
			wantNothing(t, c)
			if c.Ready() || c.Peek(100).Records() != 0 || c.Drain(1, nil) != 0 {
				t.Error("a record without Commit")
			}
			if imageOf(w, c) != before {
				t.Error("looking at a claim has changed the ring")
			}
		}},
	{"records are read in order, and their space comes back", "many 10, one 10, mpsc 15 17, spsc 15 17", bothKinds,
		func(t *testing.T, shared bool) {
			for n := 1; n <= 2; n++ {
				w, c := newRingAt(t, shared, 64, 0)
				for i := range n {
					mustWrite(t, w, []byte{byte(i), 2, 3, 4, 5, 6, 7, 8})
				}
				i := 0
				if got := c.Drain(10, func(_ int32, rec []byte) {
					if len(rec) != 8 || rec[0] != byte(i) {
						t.Errorf("record %d: % x", i, rec)
					}
					i++
				}); got != n {
					t.Errorf("%d of %d records", got, n)
				}
				if c.ring.head.load() != w.Position() {
					t.Errorf("head %d, tail %d", c.ring.head.load(), w.Position())
				}
				if shared && strings.Trim(string(c.ring.mem.data), "\x00") != "" {
					t.Error("what was read is not zeroed")
				}
				if !shared && headerAt(c, 0) == 0 {
					t.Error("the consumer of an SPSC ring has zeroed what it read")
				}
			}
		}},
	{"a limit on the records is kept", "many 11, one 11, mpsc 18 36, spsc 18 34", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 256, 0)
			for range 5 {
				mustWrite(t, w, make([]byte, 8))
			}
			for _, want := range []struct{ limit, n, head int }{{1, 1, 16}, {2, 2, 48}, {10, 2, 80}} {
				if n := c.Drain(want.limit, func(int32, []byte) {}); n != want.n || c.ring.head.load() != uint64(want.head) {
					t.Errorf("Drain(%d): %d, head %d", want.limit, n, c.ring.head.load())
				}
			}
			if shared {
				wantHeader(t, c, 0, 0)
			}
		}},
	{"a callback that panics has consumed its record", "many 12, one 12", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			mustWrite(t, w, []byte("1"))
			mustWrite(t, w, []byte("2"))
			mustWrite(t, w, []byte("3"))
			wantPanic(t, func() {
				c.Drain(3, func(_ int32, rec []byte) {
					if rec[0] == '2' {
						panic("on the second")
					}
				})
			}, "on the second")
			if c.ring.head.load() != 32 {
				t.Errorf("head %d", c.ring.head.load())
			}
			wantNext(t, c, 1, []byte("3"))
		}},
	{"a callback that goes on gets everything", "many 39, one 32, mpsc 37, spsc 35", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 256, 0)
			for range 5 {
				mustWrite(t, w, make([]byte, 8))
			}
			if n := c.Drain(100, func(int32, []byte) {}); n != 5 || c.Position() != w.Position() || c.ring.head.load() != w.Position() {
				t.Errorf("%d records, position %d, head %d, tail %d", n, c.Position(), c.ring.head.load(), w.Position())
			}
		}},
	{"space may be given back record by record", "many 42, one 35, mpsc 38, spsc 36", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 256, 0)
			for range 5 {
				mustWrite(t, w, make([]byte, 8))
			}
			for i := range 5 {
				s := c.Peek(0)
				if head := c.ring.head.load(); s.Records() != 1 || head != uint64(i*16) {
					t.Errorf("record %d: %d records, head %d", i, s.Records(), head)
				}
				c.ReleaseTo(s.End())
				if head := c.ring.head.load(); head != uint64(i*16+16) {
					t.Errorf("record %d: head %d", i, head)
				}
			}
		}},
}

// Their unblock is PassStalled. It leaves the buffer behind and infers nothing
// from zeros.
var checklistStalls = []property{
	{"nothing to pass in an empty ring, and never in an SPSC ring", "many 13, one 13, mpsc 19", bothKinds,
		func(t *testing.T, shared bool) {
			w, c := newRingAt(t, shared, 64, 0)
			if !shared {
				must(w.TryClaim(8))
			}
			before := imageOf(w, c)
			if _, ok := c.Stalled(); ok || c.PassStalled(0) || imageOf(w, c) != before {
				t.Error("passed")
			}
		}},
	{"an open claim is passed", "many 14, mpsc 20", onlyMPSC,
		func(t *testing.T, _ bool) {
			p, c, _ := newMPSC(128, 64)
			mustClaim(t, p, 13)
			putString(t, p, "behind")
			if !c.PassStalled(0) {
				t.Fatal("not passed")
			}
			wantRecords(t, c, "behind")
			if c.Stats().Abandoned != 1 {
				t.Errorf("%+v", c.Stats())
			}
		}},
	{"an open claim is passed in a full ring, and the ring is whole again", "many 15", onlyMPSC,
		func(t *testing.T, _ bool) {
			p, c, _ := newMPSC(128, 64)
			mustClaim(t, p, 8)
			behind := []string{}
			for p.WriteTyped(1, []byte("behind..")) == nil {
				behind = append(behind, "behind..")
			}
			if !c.PassStalled(0) {
				t.Fatal("not passed")
			}
			putString(t, p, strings.Repeat("x", 112))
			wantRecords(t, c, append(behind, strings.Repeat("x", 112))...)
		}},
	// Theirs pads a gap of zeros up to the next header. A gap of zeros is a
	// producer that runs no code but the ring's, and will be through: it is
	// waited for, in a full ring too.
	{"a gap of zeros is not passed", "many 16 17, mpsc 21", onlyMPSC,
		func(t *testing.T, _ bool) {
			for _, full := range []bool{false, true} {
				p, c, _ := newMPSC(128, 64)
				c.ring.tail.advance(64, 80)
				putString(t, p, "behind")
				for full && p.WriteTyped(1, nil) == nil {
				}
				before := imageOf(p, c)
				if s, ok := c.Stalled(); s.Size != 0 || c.PassStalled(0) {
					t.Fatalf("full %v: passed %+v, %v", full, s, ok)
				}
				if imageOf(p, c) != before || c.next != nil {
					t.Errorf("full %v: the ring has changed", full)
				}
				c.ring.mem.publish(64, claimMark(c.ring.lap(64), 16)) // the producer goes on
				if !c.ring.mem.settle(64, claimMark(c.ring.lap(64), 16), makeHeader(1, 16)) {
					t.Fatal("the claim is gone")
				}
				if rec, ok := c.Next(); !ok || len(rec) != 8 {
					t.Errorf("full %v: the record is not there", full)
				}
			}
		}},
	{"a claim that is settled while it is passed is settled", "many 18 19", onlyMPSC,
		func(t *testing.T, _ bool) {
			synctest.Test(t, func(t *testing.T) {
				for name, settle := range map[string]func(c Claim){
					"Commit": func(c Claim) { c.Commit() }, "CommitN": func(c Claim) { c.CommitN(8) }, "Abort": Claim.Abort,
				} {
					p, c, _ := NewMPSC(128)
					cl := mustClaim(t, p, 16)
					copy(cl.Bytes(), "in time.")
					c.Stalled()
					time.Sleep(time.Second)
					mark := headerAt(c, 0) // PassStalled has looked, and retired the ring
					c.retire()
					settle(cl)
					c.abandon(mark) // comes too late
					if c.Stats().Abandoned != 0 {
						t.Errorf("%s: abandoned", name)
					}
					rec, ok := c.Next()
					if want := name != "Abort"; ok != want || ok && string(rec[:8]) != "in time." {
						t.Errorf("%s: %q, %v", name, rec, ok)
					}
				}
			})
		}},
}

var checklistConcurrent = []property{
	{"each producer's records stay in order: written", "manyConcurrent 2, oneConcurrent 1, mpsc 41, spsc 39", bothKinds,
		func(t *testing.T, shared bool) {
			inOrder(t, shared, func(w writer, rec []byte) error { _, err := w.Write(rec); return err })
		}},
	{"each producer's records stay in order: claimed", "manyConcurrent 3, oneConcurrent 2, mpsc 42, spsc 40", bothKinds,
		func(t *testing.T, shared bool) { inOrder(t, shared, claimAndCommit) }},
	{"each producer's records stay in order: with aborts between them", "manyConcurrent 4, oneConcurrent 3", bothKinds,
		func(t *testing.T, shared bool) {
			inOrder(t, shared, func(w writer, rec []byte) error {
				cl, err := w.TryClaim(13)
				if err != nil {
					return err
				}
				copy(cl.Bytes(), pattern255(13))
				cl.Abort()
				return claimAndCommit(w, rec)
			})
		}},
	// The explorer runs these in every order; see explore_test.go.
	{"two producers and a reader: each record whole, once", "manyInterleaved 1 2 3", onlyMPSC,
		func(t *testing.T, _ bool) {
			for i := range interleavings() {
				p, c, _ := newMPSC(128, 64*uint64(i))
				var wg sync.WaitGroup
				for _, s := range []string{"five!", "a longer record"} {
					wg.Go(func() {
						if i%3 == 0 {
							must(p.TryClaim(3)).Abort()
						}
						if _, err := p.Write([]byte(s)); err != nil {
							t.Error(err)
						}
					})
				}
				got := ""
				for n := 0; n < 2; {
					if rec, ok := c.Next(); ok {
						got += string(rec)
						n++
					} else {
						runtime.Gosched()
					}
				}
				wg.Wait()
				if got != "five!a longer record" && got != "a longer recordfive!" {
					t.Fatalf("run %d: %q", i, got)
				}
				wantNothing(t, c)
			}
		}},
	{"a producer and a reader: nothing, or the whole record", "oneInterleaved 1 3 4", bothKinds,
		func(t *testing.T, shared bool) {
			for i := range interleavings() {
				w, c := newRingAt(t, shared, 64, 64*uint64(i))
				done := make(chan bool)
				go func() {
					must(w.TryClaim(8)).Abort()
					claimAndCommit(w, []byte("12345678"))
					close(done)
				}()
				rec, ok := c.Next()
				if ok && string(rec) != "12345678" {
					t.Fatalf("run %d: %q", i, rec)
				}
				<-done
				if !ok {
					wantNext(t, c, 1, []byte("12345678"))
				}
				wantNothing(t, c)
			}
		}},
	{"a full ring: written if it was read before", "oneInterleaved 2", bothKinds,
		func(t *testing.T, shared bool) {
			for i := range interleavings() {
				w, c := newRingAt(t, shared, 64, 0)
				mustWrite(t, w, make([]byte, 48))
				written := make(chan bool)
				go func() { written <- w.WriteTyped(2, nil) == nil }()
				n := c.Drain(1, func(int32, []byte) {})
				if n != 1 {
					t.Fatal("the record is not there")
				}
				if _, more := c.Next(); <-written {
					if !more {
						wantNext(t, c, 2, nil)
					}
				} else if more {
					t.Fatalf("run %d: a record that was refused", i)
				}
				wantNothing(t, c)
			}
		}},
}

func interleavings() int {
	if testing.Short() || raceEnabled {
		return 300
	}
	return 3000
}

func claimAndCommit(w writer, rec []byte) error {
	cl, err := w.TryClaim(len(rec))
	if err != nil {
		return err
	}
	copy(cl.Bytes(), rec)
	cl.Commit()
	return nil
}

// inOrder has one producer, or two that share the ring, write numbers.
func inOrder(t *testing.T, shared bool, write func(w writer, rec []byte) error) {
	producers, each := 1, 2000
	if shared {
		producers = 2
	}
	if testing.Short() || raceEnabled {
		each = 300
	}
	w, c := newRingAt(t, shared, 256, 1<<32-512)
	for id := range producers {
		go func() {
			for i := 0; i < each; {
				if write(w, []byte{byte(id), byte(i), byte(i >> 8), 0xee, 0xee}) == nil {
					i++
				} else {
					runtime.Gosched()
				}
			}
		}()
	}
	var next [2]int
	for next[0]+next[1] < producers*each {
		if c.Drain(10, func(_ int32, rec []byte) {
			if len(rec) != 5 || int(rec[1])+int(rec[2])<<8 != next[rec[0]] || rec[4] != 0xee {
				t.Errorf("record % x, want number %d of its producer", rec, next[rec[0]])
			}
			next[rec[0]]++
		}) == 0 {
			runtime.Gosched()
		}
	}
	wantNothing(t, c)
}

// The claims that are open at once have places of their own, more of them than there
// are slots, too.
func TestClaimsAtOnce(t *testing.T) {
	p, c, err := NewMPSC(4096)
	if err != nil {
		t.Fatal(err)
	}
	var claims []Claim
	for range slotCount + 10 {
		cl, err := p.TryClaim(1)
		if err != nil {
			t.Fatal(err)
		}
		claims = append(claims, cl)
	}
	for i, cl := range claims {
		cl.Bytes()[0] = byte(i)
	}
	for _, cl := range claims {
		cl.Commit()
	}
	for i := range claims {
		if rec, ok := c.Next(); !ok || len(rec) != 1 || rec[0] != byte(i) {
			t.Fatalf("record %d: %v, %v", i, rec, ok)
		}
	}
}

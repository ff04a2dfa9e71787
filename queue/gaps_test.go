package queue

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Eleven cases that no test of Agrona's or Aeron's rings covers. Three are
// elsewhere or nowhere:
//
//	close against the last record, notify against park   channel/gaps_test.go
//	an SPSC producer on an MPSC ring, or the reverse     not applicable: a ring's two ends are made together
//	two processes make the same file                     not applicable: a ring is in the memory of one process
//
// kill -9 at every store has no victim here either, as a process takes all of
// its goroutines along. What comes close is a producer that is stopped for
// ever behind each of its stores: TestStoppedProducer.

// A gap at index 0, at the end of the buffer and in between, of each size that
// fits, passed with records around it. The payload of the gap looks like
// headers; the consumer must not be led by what it finds there.
func TestGapAnywhere(t *testing.T) {
	const capacity = 128
	for at := uint64(0); at < capacity; at += headerLen {
		for size := uint64(headerLen); at+size <= capacity && size < capacity; size += headerLen {
			p, c, _ := newMPSC(capacity, 5*capacity+at)
			gap := mustClaim(t, p, int(size)-headerLen)
			for i := range gap.Bytes() {
				gap.Bytes()[i] = 8 // as a word: a record of 0x08080808 bytes
			}
			before := p.Position()
			behind := []string{}
			for i := 0; p.WriteTyped(1, []byte{byte(i)}) == nil; i++ {
				behind = append(behind, string([]byte{byte(i)}))
			}
			wantNothing(t, c)
			if s, ok := c.Stalled(); !ok || s.Position != before-size || s.Size != int(size)-headerLen {
				t.Fatalf("gap of %d at %d: %+v, %v", size, at, s, ok)
			}
			if !c.PassStalled(0) {
				t.Fatalf("gap of %d at %d: not passed", size, at)
			}
			putString(t, p, "in the new buffer")
			wantRecords(t, c, append(behind, "in the new buffer")...)
			if gap.Commit() {
				t.Fatalf("gap of %d at %d: Commit after it was passed", size, at)
			}
		}
	}
}

// A producer of an MPSC ring that is stopped for ever behind each of its
// stores. Records of others, claimed before, arrive in any case. Between the
// tail and the end of the ring's own steps nobody but the runtime can stop it,
// and it is waited for; from then on it is passed. Whatever it has done, it
// may go on later and harms nobody.
func TestStoppedProducer(t *testing.T) {
	const at, frame = 96, 40 // does not fit the 32 bytes before the end
	var cl Claim
	claimed := func(r *ring, p *SharedProducer) { cl = must(p.TryClaim(frame - headerLen)) }
	steps := []struct {
		name string
		stop func(r *ring, p *SharedProducer)
		rest func(r *ring) // the stores that are left, up to the mark or the commit; nil if it can be passed
	}{
		{"the tail's compare-and-swap, before the padding",
			func(r *ring, _ *SharedProducer) { r.tail.advance(at, 128+frame) },
			func(r *ring) { r.mem.publish(at, makeSkip(32)); r.mem.publish(128, claimMark(r.lap(128), frame)) }},
		{"the padding, before the mark",
			func(r *ring, _ *SharedProducer) { r.tail.advance(at, 128+frame); r.mem.publish(at, makeSkip(32)) },
			func(r *ring) { r.mem.publish(128, claimMark(r.lap(128), frame)) }},
		{"the padding alone, of a claim that has to wait",
			func(r *ring, _ *SharedProducer) { r.tail.advance(at, 128) },
			func(r *ring) { r.mem.publish(at, makeSkip(32)) }},
		{"the mark, before the slot",
			func(r *ring, _ *SharedProducer) {
				r.tail.advance(at, 128+frame)
				r.mem.publish(at, makeSkip(32))
				r.mem.publish(128, claimMark(r.lap(128), frame))
			}, nil},
		{"the claim", claimed, nil},
		{"half of the payload", func(r *ring, p *SharedProducer) {
			claimed(r, p)
			copy(cl.Bytes(), pattern255(20))
		}, nil},
		{"the slot of a commit, before the header", func(r *ring, p *SharedProducer) {
			claimed(r, p)
			cl.p.drop(cl.id)
		}, nil},
		{"settling, inside of CommitN", func(r *ring, p *SharedProducer) {
			claimed(r, p)
			cl.p.drop(cl.id)
			r.mem.settle(cl.at(), r.markOf(cl), settlingMark(r.lap(cl.at())))
		}, func(r *ring) { r.mem.publish(128+16, makeSkip(frame-16)); r.mem.publish(128, makeHeader(1, 16)) }},
		{"the rest's skip, inside of CommitN", func(r *ring, p *SharedProducer) {
			claimed(r, p)
			cl.p.drop(cl.id)
			r.mem.settle(cl.at(), r.markOf(cl), settlingMark(r.lap(cl.at())))
			r.mem.publish(128+16, makeSkip(frame-16))
		}, func(r *ring) { r.mem.publish(128, makeHeader(1, 16)) }},
	}
	for _, tt := range steps {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, closed %v", tt.name, closed), func(t *testing.T) {
				cl = Claim{}
				p, c, _ := newMPSC(128, 0)
				advance(t, p, c, at-16)
				putString(t, p, "before")
				r := c.ring
				tt.stop(r, p)
				behind := p.WriteTyped(1, []byte("behind")) == nil
				if closed {
					p.Close()
				}
				if rec, ok := c.Next(); !ok || string(rec) != "before" {
					t.Fatalf("%q, %v", rec, ok)
				}
				if tt.rest != nil {
					notPassed(t, p, c)
					tt.rest(r)
				}
				var got []string
				for more := true; more; more = c.PassStalled(0) || c.Ready() {
					for rec, ok := c.Next(); ok; rec, ok = c.Next() {
						got = append(got, string(rec))
					}
				}
				var want []string
				if strings.Contains(tt.name, "CommitN") { // the producer has gone on
					want = append(want, string(make([]byte, 8)))
				}
				if behind {
					want = append(want, "behind")
				}
				if !slices.Equal(got, want) {
					t.Fatalf("read %q, want %q", got, want)
				}
				if closed {
					if !c.Drained() {
						t.Error("not Drained")
					}
				} else {
					putString(t, p, "after")
					wantRecords(t, c, "after")
				}
				if cl.p != nil && cl.p.holds(cl.id) && cl.Commit() {
					t.Error("the late Commit published something")
				}
				wantNothing(t, c)
			})
		}
	}
}

// notPassed checks that the consumer waits where it is: no verb finds
// anything, nothing is written, no ring is put in this one's place.
func notPassed(t *testing.T, p *SharedProducer, c *Consumer) {
	t.Helper()
	wantNothing(t, c) // moves over padding
	before := bytes.Clone(c.ring.mem.data)
	pos := c.Position()
	if s, ok := c.Stalled(); s.Size != 0 || c.PassStalled(0) {
		t.Fatalf("passed: %+v, %v", s, ok)
	}
	if _, ok := c.Next(); ok || c.Ready() || c.Drained() || c.Peek(100).Records() != 0 || c.Drain(1, nil) != 0 {
		t.Fatal("something is there")
	}
	if c.Position() != pos || c.next != nil || p.home.current.Load() != c.ring || !bytes.Equal(before, c.ring.mem.data) {
		t.Fatal("the ring has changed")
	}
}

// A commit that comes after its claim was passed, at any later time: while the
// rest of its buffer is read, when the next buffer is in use, and laps later,
// with a record of the same length at the same index.
func TestZombieCommit(t *testing.T) {
	for _, settle := range []struct {
		name string
		fn   func(c Claim) bool
	}{
		{"Commit", Claim.Commit},
		{"CommitN", func(c Claim) bool { return c.CommitN(3) }},
		{"CommitN(all)", func(c Claim) bool { return c.CommitN(8) }},
		{"Abort", func(c Claim) bool { c.Abort(); return false }},
	} {
		for when := range 40 {
			p, c, _ := newMPSC(128, 1<<32-128)
			zombie := mustClaim(t, p, 8)
			putString(t, p, "old one.")
			putString(t, p, "old two.")
			if !c.PassStalled(0) {
				t.Fatal("not passed")
			}
			want := []string{"old one.", "old two."}
			for i := range 40 {
				if i == when {
					copy(zombie.Bytes(), "undead..")
					if settle.fn(zombie) {
						t.Fatalf("%s after %d records: true", settle.name, i)
					}
				}
				rec := fmt.Sprintf("rec %04d", i) // as long as the zombie
				putString(t, p, rec)
				if want = append(want, rec); i%3 == 2 {
					wantRecords(t, c, want...)
					want = nil
				}
			}
			wantRecords(t, c, want...)
			if s := c.Stats(); s.Abandoned != 1 || s.Aborts != 0 || s.Records != 42 {
				t.Fatalf("%+v", s)
			}
		}
	}
}

// Records longer than half of the ring at every offset: an empty ring takes
// each within two attempts, with others of the same kind behind it.
func TestOverHalfAtEveryOffset(t *testing.T) {
	forKinds(t, func(t *testing.T, shared bool) {
		for _, capacity := range []int{64, 128, 512} {
			for at := 0; at < capacity; at += headerLen {
				for n := capacity/2 - headerLen; n <= capacity-16; n += 4 {
					w, c := newRingAt(t, shared, capacity, uint64(at))
					for k := range 3 {
						rec := pattern(n, uint64(k))
						err := w.WriteTyped(1, rec)
						if err == ErrFull {
							wantNothing(t, c) // the padding
							err = w.WriteTyped(1, rec)
						}
						if err != nil {
							t.Fatalf("%d bytes in %d at %d, record %d: %v", n, capacity, at, k, err)
						}
						wantNext(t, c, 1, rec)
						wantNothing(t, c)
						checkIdle(t, w, c)
					}
				}
			}
		}
	})
}

// Positions pass 2³¹, 2³², 2⁶³ and 2⁶⁴ at every offset of the ring: records,
// padding, a refusal, spans and, in an MPSC ring, an open claim and a passed
// one, on either side of the edge.
func TestPositionsWrap(t *testing.T) {
	for _, edge := range []struct {
		name string
		at   uint64
	}{{"2^31", 1 << 31}, {"2^32", 1 << 32}, {"2^38, where a mark's lap wraps", 1 << 38}, {"2^63", 1 << 63}, {"2^64", 0}} {
		t.Run(edge.name, func(t *testing.T) {
			forKinds(t, func(t *testing.T, shared bool) {
				for back := uint64(headerLen); back <= 192; back += headerLen {
					crossEdge(t, shared, edge.at-back)
				}
			})
		})
	}
}

func crossEdge(t *testing.T, shared bool, start uint64) {
	t.Helper()
	w, c := newRingAt(t, shared, 64, start)
	if w.Position() != start || c.Position() != start {
		t.Fatalf("positions begin at %d and %d, want %d", w.Position(), c.Position(), start)
	}
	for i := range 20 {
		var sent []string
		for n := 0; ; n++ {
			rec := strings.Repeat(fmt.Sprint(i%10), (i*5+n*3)%20)
			pos := w.Position()
			err := w.WriteTyped(1, []byte(rec))
			if err == ErrFull {
				break
			}
			if err != nil || int64(w.Position()-pos) <= 0 {
				t.Fatalf("from %d: %v, position %d after %d", start, err, w.Position(), pos)
			}
			sent = append(sent, rec)
		}
		for len(sent) > 0 {
			s := c.Peek(32)
			for _, rec := range checkSpan(t, s, 32) {
				if string(rec.payload) != sent[0] {
					t.Fatalf("from %d: %q, want %q", start, rec.payload, sent[0])
				}
				sent = sent[1:]
			}
			if int64(w.Position()-s.End()) < 0 {
				t.Fatalf("End %d is ahead of %d", s.End(), w.Position())
			}
			c.ReleaseTo(s.End())
		}
		wantNothing(t, c)
		checkIdle(t, w, c)
		if !shared {
			continue
		}
		open := must(w.TryClaim(4))
		wantNothing(t, c)
		if i%5 != 4 {
			copy(open.Bytes(), "open")
			open.Commit()
			wantNext(t, c, 1, []byte("open"))
			wantNothing(t, c)
			continue
		}
		if !c.PassStalled(0) {
			t.Fatalf("from %d: not passed", start)
		}
		wantNothing(t, c)
		if int64(c.Position()-w.Position()) != 0 {
			t.Fatalf("positions %d and %d of a ring that is read", w.Position(), c.Position())
		}
	}
}

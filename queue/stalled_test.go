package queue

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// mustClaim claims n bytes or fails the test.
func mustClaim(t *testing.T, p *SharedProducer, n int) Claim {
	t.Helper()
	c, err := p.TryClaim(n)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func putString(t *testing.T, p *SharedProducer, s string) {
	t.Helper()
	if _, err := p.Write([]byte(s)); err != nil {
		t.Fatalf("write %q: %v", s, err)
	}
}

// wantRecords reads exactly these records.
func wantRecords(t *testing.T, c *Consumer, want ...string) {
	t.Helper()
	for _, w := range want {
		if rec, ok := c.Next(); !ok || string(rec) != w {
			t.Fatalf("read %q, %v, want %q", rec, ok, w)
		}
	}
	if rec, ok := c.Next(); ok {
		t.Fatalf("read %q, want nothing more", rec)
	}
}

func TestStalledTellsPositionSizeAndAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c, _ := newMPSC(1024, 512)
		if s, ok := c.Stalled(); ok {
			t.Fatalf("%+v on an empty ring", s)
		}
		putString(t, p, "before")
		open := mustClaim(t, p, 20)
		putString(t, p, "behind")
		if s, ok := c.Stalled(); ok {
			t.Fatalf("%+v with a record in front of the claim", s)
		}
		wantRecords(t, c, "before")
		time.Sleep(time.Hour) // nobody has looked: the age begins with the first look
		if s, ok := c.Stalled(); !ok || s != (Stall{Position: 528, Size: 20}) {
			t.Fatalf("%+v, %v", s, ok)
		}
		time.Sleep(3 * time.Second)
		if s, ok := c.Stalled(); !ok || s.Age != 3*time.Second {
			t.Fatalf("%+v, %v", s, ok)
		}
		open.Commit()
		if s, ok := c.Stalled(); ok {
			t.Fatalf("%+v after Commit", s)
		}

		sp, sc, _ := NewSPSC(64)
		sp.TryClaim(8)
		if s, ok := sc.Stalled(); ok || sc.PassStalled(0) {
			t.Fatalf("%+v in an SPSC ring", s)
		}
	})
}

// A new claim at another place starts its own age.
func TestStalledAgeIsOfOneClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c, _ := NewMPSC(1024)
		first, second := mustClaim(t, p, 8), mustClaim(t, p, 8)
		c.Stalled()
		time.Sleep(time.Minute)
		first.Abort()
		if s, ok := c.Stalled(); !ok || s.Age != 0 || s.Position != 16 {
			t.Fatalf("%+v, %v", s, ok)
		}
		second.Abort()
	})
}

// TestPassStalled passes a leaked claim wherever it lies. Before and after it
// records flow, the capacity is whole again, and the late owner is told.
func TestPassStalled(t *testing.T) {
	for _, d := range []struct {
		name  string
		start uint64
		claim int
		// behind: records claimed after the leaked one, before it is passed
		behind []string
	}{
		{"at index 0", 0, 16, []string{"one", "two"}},
		{"at the end of the buffer", 104, 16, []string{"one", "two"}},
		{"before the padding of a wrap", 96, 8, []string{"a record that wraps"}},
		{"as the last claim", 40, 8, nil},
		{"filling the ring", 0, 112, nil},
		{"just below 2^64", 1<<64 - 24, 16, []string{"one", "two"}},
		{"of no bytes", 8, 0, []string{"one"}},
	} {
		t.Run(d.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, c, _ := newMPSC(128, d.start)
				late := mustClaim(t, p, d.claim)
				for _, s := range d.behind {
					putString(t, p, s)
				}
				c.Stalled()
				time.Sleep(time.Second)
				if c.PassStalled(2 * time.Second) {
					t.Fatal("passed before the limit")
				}
				wantRecords(t, c)
				time.Sleep(time.Second)
				before := p.Position()
				if !c.PassStalled(2 * time.Second) {
					t.Fatal("not passed")
				}
				if int64(p.Position()-before) <= 0 || int64(p.Position()-c.Position()) < 0 {
					t.Fatalf("positions go back: %d, then %d, consumer %d", before, p.Position(), c.Position())
				}
				putString(t, p, "new ring")
				wantRecords(t, c, append(d.behind, "new ring")...)

				// All of the capacity is there.
				largest := make([]byte, 112)
				if _, err := p.Write(largest); err == ErrFull { // behind padding, which has to be read first
					wantRecords(t, c)
					putString(t, p, string(largest))
				}
				wantRecords(t, c, string(largest))

				// The owner wakes up. Whatever it does harms nobody.
				putString(t, p, "after")
				for i := range late.Bytes() {
					late.Bytes()[i] = 0xFF
				}
				if late.Commit() {
					t.Fatal("the late Commit published something")
				}
				late.Abort()
				wantRecords(t, c, "after")
				if s := c.Stats(); s.Abandoned != 1 || s.Records != uint64(len(d.behind))+3 {
					t.Fatalf("%+v", s)
				}
				if p.Stats() != c.Stats() {
					t.Fatal("the sides count differently")
				}
			})
		})
	}
}

// The owner of a claim that is passed may settle it in any way and at any time.
func TestLateSettling(t *testing.T) {
	for name, settle := range map[string]func(Claim) bool{
		"Commit":  Claim.Commit,
		"CommitN": func(c Claim) bool { return c.CommitN(3) },
		"Abort":   func(c Claim) bool { c.Abort(); return false },
	} {
		t.Run(name, func(t *testing.T) {
			p, c, _ := NewMPSC(128)
			late := mustClaim(t, p, 30)
			if !c.PassStalled(0) {
				t.Fatal("not passed")
			}
			old := late.p.ring
			image := bytes.Clone(old.mem.data)
			if settle(late) {
				t.Fatal("published")
			}
			if !bytes.Equal(image, old.mem.data) {
				t.Fatal("wrote into the retired buffer's headers")
			}
			if s := c.Stats(); s.Aborts != 0 {
				t.Fatalf("%+v", s)
			}
			putString(t, p, "fine")
			wantRecords(t, c, "fine")
		})
	}
}

// Claims of the retired buffer that are settled in time are read, in order, and
// before everything claimed in the new one.
func TestRetiredBufferIsReadToItsEnd(t *testing.T) {
	p, c, _ := NewMPSC(256)
	leaked := mustClaim(t, p, 8)
	slow := mustClaim(t, p, 4)
	putString(t, p, "old")
	second := mustClaim(t, p, 8)
	if !c.PassStalled(0) {
		t.Fatal("not passed")
	}
	putString(t, p, "new")
	wantRecords(t, c) // slow is open
	copy(slow.Bytes(), "slow")
	if !slow.Commit() {
		t.Fatal("a claim that was not passed cannot be committed")
	}
	wantRecords(t, c, "slow", "old")
	if !c.PassStalled(0) { // second: no further buffer is needed
		t.Fatal("the second claim of the retired buffer is not passed")
	}
	wantRecords(t, c, "new")
	if leaked.Commit() || second.Commit() {
		t.Fatal("a passed claim was committed")
	}
	if n := len(c.retired); n != 1 {
		t.Fatalf("%d buffers retired", n)
	}
}

func TestSpansOfARetiredBufferStayValid(t *testing.T) {
	p, c, _ := NewMPSC(256)
	putString(t, p, "held")
	held := c.Peek(1 << 10)
	leaked := mustClaim(t, p, 8)
	putString(t, p, "behind")
	if !c.PassStalled(0) {
		t.Fatal("not passed")
	}
	behind := c.Peek(1 << 10)
	putString(t, p, "new")
	fresh := c.Peek(1 << 10)
	for i := range 3 {
		want := []string{"held", "behind", "new"}[i]
		got := []Span{held, behind, fresh}[i].Frames()[headerLen:]
		if string(got[:len(want)]) != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	c.ReleaseTo(held.End())
	c.ReleaseTo(behind.End())
	c.ReleaseTo(fresh.End())
	leaked.Abort()
	if c.ring.head.load() != c.pos {
		t.Fatalf("head %d, read up to %d", c.ring.head.load(), c.pos)
	}
	p.Write(make([]byte, 240)) // behind padding, which has to be read first
	wantRecords(t, c)
	putString(t, p, string(make([]byte, 240)))
}

// Memory is bounded: no more than maxRetired buffers wait for their owners.
func TestRetiredBuffersAreBounded(t *testing.T) {
	p, c, _ := NewMPSC(128)
	var leaked []Claim
	for i := range maxRetired + 1 {
		leaked = append(leaked, mustClaim(t, p, 8))
		if got, want := c.PassStalled(0), i < maxRetired; got != want {
			t.Fatalf("claim %d passed: %v", i, got)
		}
	}
	putString(t, p, "waits")
	wantRecords(t, c)
	runtime.KeepAlive(leaked)
	leaked = leaked[maxRetired:] // the owners of the others are gone
	leaked = append([]Claim(nil), leaked...)
	for range 10 {
		runtime.GC()
		if c.PassStalled(0) {
			wantRecords(t, c, "waits")
			runtime.KeepAlive(leaked)
			return
		}
	}
	t.Fatal("the buffers of claims that nobody holds are still counted")
}

// Close finds the ring that is current, also while a retired one is read, and
// open claims in either are abandoned.
func TestCloseAfterRetiring(t *testing.T) {
	p, c, _ := NewMPSC(256)
	mustClaim(t, p, 8)
	inOld := mustClaim(t, p, 8)
	putString(t, p, "old")
	c.PassStalled(0)
	inNew := mustClaim(t, p, 8)
	putString(t, p, "new")
	p.Close()
	if _, err := p.Write(nil); err != ErrClosed {
		t.Fatal(err)
	}
	wantRecords(t, c, "old", "new")
	if !c.Drained() {
		t.Fatal("not drained")
	}
	if inOld.Commit() || inNew.Commit() {
		t.Fatal("an abandoned claim was committed")
	}
	if s := c.Stats(); s.Abandoned != 3 {
		t.Fatalf("%+v", s)
	}
}

func TestPassStalledOnAClosedRing(t *testing.T) {
	p, c, _ := NewMPSC(256)
	mustClaim(t, p, 8)
	putString(t, p, "behind")
	p.Close()
	c.PassStalled(0)
	wantRecords(t, c, "behind")
	if !c.Drained() {
		t.Fatal("not drained")
	}
	if c.PassStalled(0) {
		t.Fatal("passed nothing")
	}
}

// TestStressStalled: producers stop between claim and commit for any time,
// some for ever; the consumer passes what is older than a moment. What Commit
// answered is what arrives, each producer's records in order.
func TestStressStalled(t *testing.T) {
	records := 1500
	if testing.Short() {
		records = 300
	}
	for _, capacity := range []int{64, 256, 4096} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			p, c, _ := NewMPSC(capacity)
			const producers = 3
			var committed [producers][]bool
			var wg sync.WaitGroup
			for id := range producers {
				committed[id] = make([]bool, records)
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(id), 1))
					for i := 0; i < records; {
						cl, err := p.TryClaim(16)
						if err != nil {
							runtime.Gosched()
							continue
						}
						switch rng.IntN(200) {
						case 0:
							i++ // leaked
							continue
						case 1:
							time.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond)
						}
						b := cl.Bytes()
						binary.LittleEndian.PutUint64(b, uint64(id))
						binary.LittleEndian.PutUint64(b[8:], uint64(i))
						committed[id][i] = cl.Commit()
						i++
					}
				})
			}
			done := make(chan struct{})
			go func() { wg.Wait(); p.Close(); close(done) }()
			var next [producers]int
			var got [producers][]bool
			for id := range producers {
				got[id] = make([]bool, records)
			}
			for !c.Drained() {
				rec, ok := c.Next()
				if !ok {
					if !c.PassStalled(100 * time.Microsecond) {
						runtime.Gosched()
						if len(c.retired) == maxRetired {
							runtime.GC() // leaked claims hold their buffers until it runs
						}
					}
					continue
				}
				id, i := binary.LittleEndian.Uint64(rec), int(binary.LittleEndian.Uint64(rec[8:]))
				if id >= producers || i < next[id] || i >= records {
					t.Fatalf("record %d of producer %d behind %d", i, id, next[id])
				}
				next[id], got[id][i] = i+1, true
			}
			<-done
			for id := range producers {
				for i := range records {
					if got[id][i] != committed[id][i] {
						t.Fatalf("producer %d record %d: Commit said %v, arrived %v", id, i, committed[id][i], got[id][i])
					}
				}
			}
			t.Logf("%+v", c.Stats())
		})
	}
}

// A buffer counts as long as somebody may come back to it: the owner of a claim
// that settles late is done with it, with no collection of garbage in between.
func TestLateOwnersGiveBuffersBack(t *testing.T) {
	p, c, _ := NewMPSC(128)
	var open []Claim
	stall := func(want bool) {
		t.Helper()
		open = append(open, mustClaim(t, p, 8))
		if got := c.PassStalled(0); got != want {
			t.Fatalf("claim %d passed: %v", len(open), got)
		}
		if want {
			wantRecords(t, c)
		}
	}
	for range maxRetired {
		stall(true)
	}
	stall(false)
	open[1].Abort()
	if !c.PassStalled(0) {
		t.Fatal("not passed, though an owner has come back")
	}
	wantRecords(t, c)
	stall(false)
	for _, cl := range open {
		cl.Abort()
	}
	wantRecords(t, c)
	open = open[:0]
	for range maxRetired {
		stall(true)
	}
	stall(false)
	putString(t, p, "behind")
	open[maxRetired].Abort()
	wantRecords(t, c, "behind")
	runtime.KeepAlive(open)
}

// More open claims than slots, and a Write that stands still: those that no slot
// holds count until they are collected.
func TestBuffersWithoutASlotCount(t *testing.T) {
	for name, stall := range map[string]func(t *testing.T, p *SharedProducer, c *Consumer) any{
		"more claims than slots": func(t *testing.T, p *SharedProducer, c *Consumer) any {
			var open []Claim
			for range slotCount + 1 {
				open = append(open, mustClaim(t, p, 0))
			}
			for i := range slotCount {
				open[i].Commit()
			}
			c.Drain(slotCount, func(int32, []byte) {})
			return open[slotCount]
		},
		"Write": func(t *testing.T, p *SharedProducer, c *Consumer) any {
			r, pos, err := p.place(c.ring, 8) // as WriteTyped does
			if err != nil {
				t.Fatal(err)
			}
			r.mem.publish(pos, claimMark(r.lap(pos), 16))
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, c, _ := NewMPSC(1 << 12)
			var kept []any
			for i := range maxRetired + 1 {
				kept = append(kept, stall(t, p, c))
				if got := c.PassStalled(0); got != (i < maxRetired) {
					t.Fatalf("%d buffers wait for owners, one more left behind: %v", i, got)
				}
				wantRecords(t, c)
			}
			runtime.KeepAlive(kept)
		})
	}
}

// Copies of settled claims keep their buffers, but not without end.
func TestKeptBuffersAreBounded(t *testing.T) {
	p, c, _ := NewMPSC(128)
	var kept []Claim
	pass := func() bool {
		cl := mustClaim(t, p, 8)
		passed := c.PassStalled(0)
		cl.Abort()
		wantRecords(t, c)
		kept = append(kept, cl)
		return passed
	}
	for i := range maxKept {
		if !pass() {
			t.Fatalf("claim %d is not passed", i)
		}
		runtime.GC()
	}
	if pass() {
		t.Fatalf("%d buffers are kept, and one more", maxKept)
	}
	runtime.KeepAlive(kept)
	kept = nil
	for range 10 {
		runtime.GC()
		if pass() {
			return
		}
	}
	t.Fatal("buffers that nobody keeps are still counted")
}

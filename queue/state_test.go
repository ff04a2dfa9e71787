package queue

import (
	"bytes"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/invariants"
)

// words are the headers of a 64-byte ring's eight words.
func words(c *Consumer) (w [8]header) {
	for i := range w {
		w[i] = c.ring.mem.load(uint64(i * 8))
	}
	return w
}

// What each operation of an SPSC ring leaves in memory.
func TestStatesSPSC(t *testing.T) {
	p, c, _ := newSPSC(64, 1<<32)
	dirty(t, p, c)
	const old = 0xa5a5a5a5a5a5a5a5
	if invariants.Enabled {
		t.Skip("released memory is poisoned")
	}
	want := func(after string, w ...header) {
		t.Helper()
		got := words(c)
		for i, h := range w {
			if got[i] != h {
				t.Fatalf("after %s: word %d is %#x, want %#x; all: %x", after, i, uint64(got[i]), uint64(h), got)
			}
		}
	}
	skipOld := makeHeader(1, 32) // what dirty left in the middle: stale, never looked at
	want("dirty; the last word of the line taken by the consumer", 0, old, old, old, skipOld, old, old, 0)
	cl := must(p.TryClaim(9))
	want("claim: alignment zeroed, header not", 0, old, 0, old, skipOld, old, old, 0)
	copy(cl.Bytes(), "123456789")
	cl.Abort()
	cl = must(p.TryClaim(8))
	want("abort, claim: nothing published", 0)
	cl.Commit()
	want("commit: header, payload, next header zeroed", makeHeader(1, 16), 0x3837363534333231, 0, old, skipOld)
	cl = must(p.TryClaim(24)) // words 2 … 5, over the stale header
	want("claim", makeHeader(1, 16), 0x3837363534333231, 0, old, skipOld, old)
	for i := range cl.Bytes() {
		cl.Bytes()[i] = 0xff
	}
	cl.CommitN(1)
	want("commit of one byte", makeHeader(1, 16), 0x3837363534333231, makeHeader(1, 9), 0xff, 0, ^header(0), old, 0)
	if _, err := p.TryClaim(40); err != ErrFull {
		t.Fatal(err)
	}
	want("refused, no room for padding yet", makeHeader(1, 16), 0x3837363534333231, makeHeader(1, 9), 0xff, 0, ^header(0), old, 0)
	c.Next()
	c.Release()
	c.Next()
	before := words(c)
	if _, err := p.TryClaim(40); err != ErrFull {
		t.Fatal(err)
	}
	before[4], before[0] = makeSkip(32), 0
	want("refused behind padding: skip, and header at 0 zeroed first", before[:]...)
}

// What each operation of an MPSC ring leaves in memory.
func TestStatesMPSC(t *testing.T) {
	p, c, _ := newMPSC(64, 0)
	want := func(after string, w ...header) {
		t.Helper()
		got := words(c)
		for i := range got {
			h := header(0)
			if i < len(w) {
				h = w[i]
			}
			if got[i] != h {
				t.Fatalf("after %s: word %d is %#x, want %#x; all: %x", after, i, uint64(got[i]), uint64(h), got)
			}
		}
	}
	dirty(t, p, c) // 2 laps
	want("dirty: all zeroed")
	a := must(p.TryClaim(9))
	b := must(p.TryClaim(8))
	want("two claims", claimMark(2, 17), 0, 0, claimMark(2, 16))
	copy(a.Bytes(), pattern255(9))
	copy(b.Bytes(), "12345678")
	b.Commit()
	want("second commit", claimMark(2, 17), ^header(0), 0xff, makeHeader(1, 16), 0x3837363534333231)
	wantNothing(t, c)
	a.CommitN(1)
	want("commit of one byte", makeHeader(1, 9), 0xff, makeSkip(8), makeHeader(1, 16), 0x3837363534333231)
	c.Next()
	c.Next()
	want("first released and zeroed, the skip not yet", 0, 0, makeSkip(8), makeHeader(1, 16), 0x3837363534333231)
	if _, err := p.TryClaim(24); err != ErrFull {
		t.Fatal(err)
	}
	want("refused: padding", 0, 0, makeSkip(8), makeHeader(1, 16), 0x3837363534333231, makeSkip(24))
	wantNothing(t, c)
	want("all given back, zeroed")
	x := must(p.TryClaim(20))
	copy(x.Bytes(), pattern255(20))
	x.Abort()
	want("abort", makeSkip(32), ^header(0), ^header(0), 0xffffffff)
	wantNothing(t, c)
	want("skip given back, zeroed")
}

// The consumer of an SPSC ring writes nothing into the data area but one word of
// each line that it has given back, see memory.own. Where the checks are on it
// poisons what was given back, and nothing else.
func TestConsumerWritesNothing(t *testing.T) {
	reads := map[string]func(c *Consumer){
		"Next": func(c *Consumer) {
			for {
				if _, ok := c.Next(); !ok {
					return
				}
			}
		},
		"Drain": func(c *Consumer) { c.Drain(100, func(int32, []byte) {}) },
		"Peek": func(c *Consumer) {
			for s := c.Peek(100); s.Records() > 0; s = c.Peek(100) {
				c.ReleaseTo(s.End())
			}
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			p, c, _ := NewSPSC(256)
			advance(t, p, c, 128)
			for p.WriteTyped(3, pattern(21, 9)) == nil {
			}
			from, to := c.head, p.tail
			before := bytes.Clone(c.ring.mem.data)
			read(c)
			if c.head != to {
				t.Fatalf("head %d, tail %d", c.head, to)
			}
			if invariants.Enabled {
				for pos := from; pos != to; pos++ {
					before[pos&255] = poison
				}
			} else {
				for pos := from &^ 63; pos != to&^63; pos += 64 {
					clear(before[(pos+56)&255:][:8])
				}
			}
			if !bytes.Equal(before, c.ring.mem.data) {
				t.Errorf("the consumer has written more than it has to:\n%x, want\n%x", c.ring.mem.data, before)
			}
		})
	}
}

// A claim gives out exactly its record's bytes: with the checks on, what a
// reader kept too long reads as poison.
func TestKeptTooLong(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("the checks are off")
	}
	p, c, _ := NewSPSC(64)
	mustWrite(t, p, []byte("12345678"))
	rec, _ := c.Next()
	c.Next()
	if !bytes.Equal(rec, bytes.Repeat([]byte{poison}, 8)) {
		t.Errorf("a record that is given back reads % x", rec)
	}
}

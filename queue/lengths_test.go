package queue

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// Records of each length are copied in one of several ways: none may lose a byte,
// write one that is not the record's, or leave an old one in the padding.
func TestWriteOfEachLength(t *testing.T) {
	const longest = 200
	for n := range longest + 1 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p, c, err := NewSPSC(1024)
			if err != nil {
				t.Fatal(err)
			}
			around := make([]byte, longest+2)
			for i := range around {
				around[i] = byte(i + 1)
			}
			rec := around[1:][:n:n]
			for range 30 { // through each place of the buffer, which is full of old bytes
				if _, err := p.Write(bytes.Repeat([]byte{0xff}, 100)); err != nil {
					t.Fatal(err)
				}
				if err := p.WriteTyped(7, rec); err != nil {
					t.Fatal(err)
				}
				if got, ok := c.Next(); !ok || !bytes.Equal(got, bytes.Repeat([]byte{0xff}, 100)) {
					t.Fatalf("the record before: %v, %x", ok, got)
				}
				s := c.Peek(1)
				want := make([]byte, align(headerLen+uint64(n)))
				binary.LittleEndian.PutUint32(want, uint32(headerLen+n))
				binary.LittleEndian.PutUint32(want[4:], 7)
				copy(want[headerLen:], rec)
				if !bytes.Equal(s.Frames(), want) {
					t.Fatalf("%x, want %x", s.Frames(), want)
				}
				c.ReleaseTo(s.End())
			}
		})
	}
}

// A write of any length takes the place of the claim that is open.
func TestWriteOfEachLengthEndsTheClaim(t *testing.T) {
	for n := range 100 {
		p, c, err := NewSPSC(4096)
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, p, []byte("makes room"))
		open := must(p.TryClaim(n))
		rec := bytes.Repeat([]byte{byte(n + 1)}, n)
		mustWrite(t, p, rec)
		if open.Bytes() != nil {
			t.Fatalf("%d bytes: the claim has Bytes", n)
		}
		wantPanic(t, func() { open.Commit() }, "not open")
		wantPanic(t, func() { open.CommitN(0) }, "not open")
		open.Abort()
		wantNext(t, c, 1, []byte("makes room"))
		wantNext(t, c, 1, rec)
		wantNothing(t, c)
		if s := p.Stats(); s.Aborts != 0 {
			t.Fatalf("%d bytes: %+v", n, s)
		}
	}
}

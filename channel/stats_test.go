package channel

import (
	"testing"

	"github.com/nexus-logbuf/logbuf/queue"
)

// Each clone shows what it has sent itself, the first handle and the receiver
// what all have.
func TestStatsPerHandle(t *testing.T) {
	first, rx, err := NewMPSC(256, &Options{StallLimit: -1})
	if err != nil {
		t.Fatal(err)
	}
	a, b := first.Clone(), first.Clone()
	want := func(name string, got, want queue.Stats) {
		t.Helper()
		want.HighWater = got.HighWater
		if got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	send := func(tx sender, rec string) {
		t.Helper()
		if err := tx.TrySend([]byte(rec)); err != nil {
			t.Fatal(err)
		}
	}
	send(first, "one")
	send(a, "two")
	send(a, "three")
	c, _ := b.TryClaim(40)
	if err := a.TrySend(make([]byte, 200)); err != queue.ErrFull {
		t.Fatal(err)
	}
	c.CommitN(4)
	if c, err = b.TryClaim(8); err == nil {
		c.Abort()
	}
	open, err := a.TryClaim(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, tx := range []sender{first, a, b} {
		if err := tx.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := rx.Drain(10, func(int32, []byte) {}); n != 4 {
		t.Errorf("%d records received", n)
	}
	if open.Commit() {
		t.Error("a claim is committed after its channel is closed and drained")
	}
	want("a", a.Stats(), queue.Stats{Records: 2, Bytes: 8, Full: 1, Abandoned: 1})
	want("b", b.Stats(), queue.Stats{Records: 1, Bytes: 4, Aborts: 1})
	all := queue.Stats{Records: 4, Bytes: 15, Full: 1, Aborts: 1, Abandoned: 1}
	want("the first handle", first.Stats(), all)
	want("the receiver", rx.Stats(), all)

	f, frx, _ := NewFanIn(128, nil)
	s1, _ := f.NewSender()
	s2, _ := f.NewSender()
	send(s1, "one")
	send(s2, "two")
	send(s2, "three")
	frx.Drain(10, func(int32, []byte) {})
	want("lane 1", s1.Stats(), queue.Stats{Records: 1, Bytes: 3})
	want("lane 2", s2.Stats(), queue.Stats{Records: 2, Bytes: 8})
	want("fan-in", frx.Stats(), queue.Stats{Records: 3, Bytes: 11})
}

package recorder

import (
	"slices"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
)

// A stream's ordinals go on where the archive's last writer left them: each loss record stands where its first ordinal says, in the next
// open, too.
func TestOrdinalsGoOnAcrossOpens(t *testing.T) {
	dir := t.TempDir()
	for open := range 3 {
		r := mustOpen(t, dir, nil)
		for _, name := range []string{"b", "a"}[open%2:] { // b is not always there
			p := mustProducer(t, r, name, nil)
			for i := range 4 {
				if i == 2 {
					p.Lose(3, 30, journal.LossSource)
				}
				if _, err := p.Write([]byte{byte(i)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		mustClose(t, r)
	}
	records, ids := readAll(t, dir)
	for name, want := range map[string][]uint64{"a": {2, 9, 16}, "b": {2, 9}} {
		got := replay(t, records, ids[name])
		var firsts []uint64
		for _, l := range got.losses {
			firsts = append(firsts, l.First)
		}
		if !slices.Equal(firsts, want) || got.next != uint64(7*len(want)) {
			t.Errorf("stream %s: losses begin at %v, want %v; %d in all", name, firsts, want, got.next)
		}
	}
}

// The ordinal of a stream that the recorder has not met is the archive's.
func TestOrdinalsBeginAtTheArchives(t *testing.T) {
	f := &fakeArchive{ordinals: map[uint16]uint64{1: 40}}
	r := startFake(t, f, nil)
	p := mustProducer(t, r, "a", nil)
	p.Lose(2, 2, journal.LossSource)
	_ = p.Close()
	p = mustProducer(t, r, "a", nil)
	p.Lose(2, 2, journal.LossSource)
	mustClose(t, r)
	var firsts []uint64
	for _, rec := range f.all() {
		l, err := journal.ParseLoss(rec.Payload)
		if err != nil {
			t.Fatal(err)
		}
		firsts = append(firsts, l.First)
	}
	if !slices.Equal(firsts, []uint64{40, 42}) {
		t.Errorf("losses begin at %v", firsts)
	}
}

package journal

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// wholeness reads an archive of n records with Salvage and checks that every sequence is either delivered, as it was written, or in exactly
// one gap. It returns the gaps.
func wholeness(t *testing.T, mem *vfs.Mem, n uint64) (gaps []Gap) {
	t.Helper()
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Salvage: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := uint64(0)
	for steps := 0; ; steps++ {
		if steps > 3*int(n) {
			t.Fatal("does not end")
		}
		rec, err := r.Next(t.Context())
		var g *GapError
		switch {
		case errors.Is(err, io.EOF):
			if next != n {
				t.Fatalf("ended at %d of %d; gaps %+v", next, n, gaps)
			}
			return gaps
		case errors.As(err, &g):
			if g.FirstSeq != next || g.LastSeq+1 < next || g.LastSeq >= n && g.LastSeq+1 != g.FirstSeq || g.File == "" || g.Reason == "" {
				t.Fatalf("gap at sequence %d of %d: %+v", next, n, g.Gap)
			}
			gaps = append(gaps, g.Gap)
			next = g.LastSeq + 1
		case err != nil:
			t.Fatal(err)
		default:
			checkRecord(t, rec, next)
			next++
		}
	}
}

// strict reads the archive without Salvage from one piece of damage to the next, opening it anew behind each, and checks that it comes to the
// same records and the same gaps.
func strict(t *testing.T, mem *vfs.Mem, n uint64, gaps []Gap) {
	t.Helper()
	from := uint64(0)
	for _, g := range gaps {
		if g.FirstSeq < from {
			continue // before what is read now
		}
		next, c := readToDamage(t, mem, from, n)
		if g.LastSeq+1 == g.FirstSeq && g.FirstSeq == from && from > 0 && (c == nil || c.Offset != g.Offset || c.File != g.File) {
			continue // between two records of which the first was read by another reader
		}
		if c == nil || next != g.FirstSeq || c.FirstSeq != g.FirstSeq || c.LastSeq != g.LastSeq || c.File != g.File || c.Offset != g.Offset {
			t.Fatalf("from %d: read up to %d, %v; want %+v", from, next, c, g)
		}
		if g.LastSeq+1 == g.FirstSeq {
			return // no record is lost, but the reader stops: only Salvage goes on
		}
		from = g.LastSeq + 1
	}
	if next, c := readToDamage(t, mem, from, n); c == nil && next != n {
		t.Fatalf("from %d: ended at %d of %d", from, next, n)
	}
}

func readToDamage(t *testing.T, mem *vfs.Mem, from, n uint64) (next uint64, c *CorruptionError) {
	t.Helper()
	next = from
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, FromSeq: from})
	if errors.As(err, &c) {
		return next, c
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		if errors.As(err, &c) {
			return next, c
		}
		if err != nil {
			t.Fatal(err)
		}
		checkRecord(t, rec, next)
		next++
	}
	return next, nil
}

func TestSalvageReaderAgainstModel(t *testing.T) {
	const n = 1500
	src := manySegments(t, n)
	names := segmentNames(t, src)
	runs := uint64(400)
	if testing.Short() || raceEnabled {
		runs = 60
	}
	for seed := range runs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := testRand(seed)
			mem := src.Clone()
			var what []string
			for range 1 + rnd.IntN(6) {
				what = append(what, damageOnce(t, rnd, mem, names))
			}
			t.Log(what)
			gaps := wholeness(t, mem, n)
			strict(t, mem, n, gaps)
		})
	}
}

// damageOnce damages one segment somewhere and says how.
func damageOnce(t *testing.T, rnd *rand.Rand, mem *vfs.Mem, names []string) string {
	name := names[rnd.IntN(len(names))]
	path := filepath.Join(memDir, name)
	b, err := mem.ReadFile(path)
	if err != nil {
		return "none: was removed"
	}
	at := rnd.IntN(len(b))
	kind := rnd.IntN(20)
	switch {
	case kind < 10:
		b[at] ^= 1 << rnd.IntN(8)
	case kind < 15:
		clear(b[at:min(len(b), at+rnd.IntN(20000))])
	case kind < 17: // a piece of the file stands somewhere else, too
		copy(b[at:], b[rnd.IntN(len(b)):])
	case kind < 19:
		b = b[:at]
	case name == names[0]: // would look as if it had been trimmed
	default:
		mustRemove(t, mem, name)
		return "removed " + name
	}
	mustWrite(t, mem, path, b)
	return fmt.Sprintf("%s: kind %d at %d", name, kind, at)
}

// What a salvaged copy declares missing is said as Verify says it.
func TestReaderSaysWhatIsDeclared(t *testing.T) {
	s := newScene(t).write(8).sync().rotate().write(4).sync().close().damage(0, 4)
	if _, err := Salvage(memDir, "out", &SalvageOptions{FS: s.mem}); err != nil {
		t.Fatal(err)
	}
	rep, err := Verify("out", &VerifyOptions{FS: s.mem})
	if err != nil || rep.Verdict != Clean || len(rep.Gaps) != 1 || !rep.Gaps[0].Declared {
		t.Fatalf("%+v, %v", rep, err)
	}
	r, err := OpenReader("out", &ReaderOptions{FS: s.mem})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		_, err := r.Next(t.Context())
		var g *GapError
		if errors.As(err, &g) {
			if g.Gap != rep.Gaps[0] {
				t.Errorf("gap %+v, want %+v", g.Gap, rep.Gaps[0])
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

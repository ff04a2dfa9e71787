package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

const salvageDir = "out"

// place is where a block of an archive stands.
type place struct {
	name     string
	off, end int64
	seq      uint64 // of its first data record
	count    uint64
	lost     uint64 // records that its loss records speak of
	table    bool
}

// places lists all blocks of an undamaged archive.
func places(t testing.TB, mem *vfs.Mem, dir string) (list []place) {
	t.Helper()
	a := archive{fs: mem, dir: dir}
	segs, _, err := a.list()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segs {
		f, hdr, err := a.openSegment(s)
		if err != nil {
			t.Fatal(err)
		}
		w := &walker{}
		w.reset(f, hdr)
		for {
			var b block
			if bad, err := w.next(maxFileSize, &b); bad != "" || err != nil {
				break
			}
			list = append(list, place{
				name: s.name, off: b.off, end: w.off, seq: b.baseSeq, count: uint64(b.count), lost: b.info.lost, table: b.flags&blockTable != 0,
			})
		}
		mustClose(t, f)
	}
	return list
}

// whole returns the sequences of the blocks that are still in their files, at any multiple of 8, except those in files that lost names.
func whole(t testing.TB, src, mem *vfs.Mem, list []place, lost map[string]bool) []uint64 {
	t.Helper()
	var seqs []uint64
	for _, p := range list {
		block := mustRead(t, src, filepath.Join(memDir, p.name))[p.off:p.end]
		after, err := mem.ReadFile(filepath.Join(memDir, p.name))
		if err != nil || lost[p.name] || !holds(after, block) {
			continue
		}
		for i := range p.count {
			seqs = append(seqs, p.seq+i)
		}
	}
	return seqs
}

// holds reports whether b has block at a multiple of 8.
func holds(b, block []byte) bool {
	for off := 0; ; {
		i := bytes.Index(b[off:], block)
		if i < 0 || (off+i)%8 == 0 {
			return i >= 0
		}
		off += i + 1
	}
}

// checkSalvage salvages memDir into salvageDir and checks what comes of it: of n records there should be those in want, the gaps are all the
// others, and nothing in memDir is changed.
func checkSalvage(t testing.TB, mem *vfs.Mem, n uint64, want []uint64) *SalvageReport {
	t.Helper()
	before := filesIn(t, mem, memDir)
	rep, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(filesIn(t, mem, memDir), before) {
		t.Error("the archive was changed")
	}
	look, err := Salvage(memDir, "", &SalvageOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	look.OutSegments, look.OutSize = rep.OutSegments, rep.OutSize
	if !reflect.DeepEqual(look, rep) {
		t.Errorf("without out:\n%+v\nwith it:\n%+v", look, rep)
	}
	if rep.Records != uint64(len(want)) || rep.Lost != n-uint64(len(want)) || rep.NextSeq != n {
		t.Errorf("%d records, %d lost, next %d; want %d, %d, %d: %+v", rep.Records, rep.Lost, rep.NextSeq, len(want), n-uint64(len(want)), n, rep.Gaps)
	}
	next, missing := uint64(0), complement(want, n)
	for _, g := range rep.Gaps {
		if g.FirstSeq < next || g.LastSeq+1 < g.FirstSeq || g.LastSeq+1 > n || g.Reason == "" || g.File == "" {
			t.Errorf("gap %+v behind sequence %d of %d", g, next, n)
			break
		}
		for seq := g.FirstSeq; seq != g.LastSeq+1; seq++ {
			if len(missing) == 0 || missing[0] != seq {
				t.Errorf("gap %+v, but missing is %v...", g, missing[:min(3, len(missing))])
				return rep
			}
			missing = missing[1:]
		}
		next = g.LastSeq + 1
	}
	if len(missing) > 0 {
		t.Errorf("no gap reported for %v: %+v", missing, rep.Gaps)
	}
	checkSalvaged(t, mem, salvageDir, n, want)
	return rep
}

// complement returns the sequences below n that are not in seqs, which is sorted.
func complement(seqs []uint64, n uint64) (missing []uint64) {
	for seq := range n {
		if _, ok := slices.BinarySearch(seqs, seq); !ok {
			missing = append(missing, seq)
		}
	}
	return missing
}

// checkSalvaged checks an archive that salvage has written: it is clean, has exactly the records wanted of n, and says itself what is missing.
func checkSalvaged(t testing.TB, mem *vfs.Mem, dir string, n uint64, want []uint64) {
	t.Helper()
	v, err := Verify(dir, &VerifyOptions{FS: mem})
	if err != nil || v.Verdict != Clean || !v.Sealed || v.NextSeq != n || v.Records != uint64(len(want)) || len(v.Foreign) > 0 {
		t.Fatalf("out: %+v, %v", v, err)
	}
	declared := uint64(0)
	for _, g := range v.Gaps {
		declared += g.LastSeq + 1 - g.FirstSeq
	}
	lost := uint64(0)
	for _, l := range v.Losses {
		if l.Reason == LossDamage {
			lost += l.Records
		}
	}
	if missing := n - uint64(len(want)); declared != missing || lost != missing {
		t.Errorf("%d records are missing; headers declare %d, loss records %d", missing, declared, lost)
	}
	r, err := OpenReader(dir, &ReaderOptions{FS: mem, Salvage: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := uint64(0)
	for {
		rec, err := r.Next(t.Context())
		var g *GapError
		switch {
		case errors.Is(err, io.EOF):
			if len(want) > 0 || next != n {
				t.Fatalf("out ends at %d; still wanted: %v", next, want)
			}
			return
		case errors.As(err, &g) && g.FirstSeq == next && g.LastSeq+1 > next:
			next = g.LastSeq + 1 // readers are told where records are missing
		case err != nil || len(want) == 0 || rec.Seq != want[0] || next != rec.Seq:
			t.Fatalf("at %d: record %d, %v; want %v", next, rec.Seq, err, want[:min(1, len(want))])
		default:
			checkRecord(t, rec, want[0])
			want = want[1:]
			next++
		}
	}
}

// filesIn returns the contents of the files in a directory by name.
func filesIn(t testing.TB, mem *vfs.Mem, dir string) map[string]string {
	t.Helper()
	entries, err := mem.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, e := range entries {
		files[e.Name()] = string(mustRead(t, mem, filepath.Join(dir, e.Name())))
	}
	return files
}

// upTo returns the numbers below n without those in the ranges [from, to).
func upTo(n uint64, without ...[2]uint64) (seqs []uint64) {
	for seq := range n {
		if !slices.ContainsFunc(without, func(r [2]uint64) bool { return seq >= r[0] && seq < r[1] }) {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

// Damages of every sort: everything outside the damaged blocks is kept, and the ranges are exact.
func TestSalvage(t *testing.T) {
	src := longArchive(t)
	t.Run("plain", func(t *testing.T) { salvageDamages(t, src) })
	src = src.Clone()
	if rep, err := Compact(memDir, &CompactOptions{FS: src}); err != nil || rep.Segments != 8 {
		t.Fatalf("%+v, %v", rep, err)
	}
	t.Run("compressed", func(t *testing.T) { salvageDamages(t, src) })
}

func salvageDamages(t *testing.T, src *vfs.Mem) {
	names := segmentNames(t, src)
	list := places(t, src, memDir)
	gone := func(i ...int) map[string]bool {
		lost := make(map[string]bool)
		for _, k := range i {
			lost[names[k]] = true
		}
		return lost
	}
	lost := map[string]map[string]bool{"emptied": gone(5), "segment missing": gone(3), "two segments missing": gone(3, 4), "last segment missing": gone(7)}
	for _, d := range damages(t, src) {
		t.Run(d.name, func(t *testing.T) {
			mem := src.Clone()
			d.do(t, mem)
			if d.name == "everything" {
				if _, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem}); err == nil || !strings.Contains(err.Error(), "nothing to make an archive of") {
					t.Fatalf("error %v", err)
				}
				if entries, err := mem.ReadDir("."); err != nil || len(entries) != 1 {
					t.Errorf("left behind: %v, %v", entries, err)
				}
				return
			}
			want := whole(t, src, mem, list, lost[d.name])
			rep := checkSalvage(t, mem, 400, want)
			if undamaged := rep.GapCount == 0 && rep.Torn == nil; undamaged != (d.name == "none") {
				t.Errorf("gaps %+v, torn %v", rep.Gaps, rep.Torn)
			}
		})
	}
}

// Of an archive without damage, a copy says the same, record by record: control records, epochs and stream tables with their ordinals.
func TestSalvageKeepsAll(t *testing.T) {
	mem := longArchive(t)
	if _, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem}); err != nil {
		t.Fatal(err)
	}
	type full struct {
		Record
		payload string
		epoch   uint64
	}
	read := func(dir string) (list []full) {
		r, err := OpenReader(dir, &ReaderOptions{FS: mem, Control: true})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for rec, err := range r.All() {
			if err != nil {
				t.Fatal(err)
			}
			f := full{Record: rec, payload: string(rec.Payload), epoch: r.Epoch()}
			f.Payload = nil
			if rec.Kind == KindStream || rec.Kind == KindOpen {
				f.Time = 0 // of the writing
			}
			list = append(list, f)
		}
		return list
	}
	want, got := read(memDir), read(salvageDir)
	if !reflect.DeepEqual(got, want) {
		for i := range min(len(got), len(want)) {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("record %d: %+v, want %+v", i, got[i], want[i])
			}
		}
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	a, b := segmentNames(t, mem), archive{fs: mem, dir: salvageDir}
	segs, _, err := b.list()
	if err != nil || len(segs) != len(a) {
		t.Fatalf("%d segments, want %d, %v", len(segs), len(a), err)
	}
	for i, s := range segs {
		if s.name != a[i] {
			t.Errorf("segment %s, want %s", s.name, a[i])
		}
	}
}

// A salvaged archive is one like any other: it can be written to, and salvaging it again finds no damage and keeps what it declares.
func TestSalvagedArchiveLives(t *testing.T) {
	src := longArchive(t)
	list := places(t, src, memDir)
	for _, d := range damages(t, src)[1:6] {
		t.Run(d.name, func(t *testing.T) {
			mem := src.Clone()
			d.do(t, mem)
			want := whole(t, src, mem, list, nil)
			checkSalvage(t, mem, 400, want)
			w := mustOpen(t, salvageDir, &Options{FS: mem})
			if w.NextSeq() != 400 || w.Recovered().Verdict != Clean || w.Recovered().Unclean {
				t.Errorf("next sequence %d, %+v", w.NextSeq(), w.Recovered())
			}
			fill(t, w, 7, 3)
			mustClose(t, w)
			for seq := range uint64(7) {
				want = append(want, 400+seq)
			}
			checkSalvaged(t, mem, salvageDir, 407, want)
			rep, err := Salvage(salvageDir, "again", &SalvageOptions{FS: mem})
			if err != nil || rep.GapCount != 0 || rep.Lost != 0 || rep.Torn != nil {
				t.Fatalf("%+v, %v", rep, err)
			}
			checkSalvaged(t, mem, "again", 407, want)
		})
	}
}

// Damage at random: whatever is left of the blocks is delivered, and the rest is reported.
func TestSalvageAtRandom(t *testing.T) {
	src := longArchive(t)
	names, list := segmentNames(t, src), places(t, src, memDir)
	runs := uint64(300)
	if testing.Short() || raceEnabled {
		runs = 40
	}
	for seed := range runs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := testRand(seed)
			mem := src.Clone()
			for range 1 + rnd.IntN(8) {
				path := filepath.Join(memDir, names[rnd.IntN(len(names))])
				b := mustRead(t, mem, path)
				at := rnd.IntN(len(b))
				if rnd.IntN(2) == 0 { // where blocks are
					at = segmentHeaderLen + rnd.IntN(len(b)-segmentHeaderLen)
				}
				switch rnd.IntN(4) {
				case 0:
					b[at] ^= 1 << rnd.IntN(8)
				case 1:
					clear(b[at:min(len(b), at+rnd.IntN(600))])
				case 2:
					for i := at; i < min(len(b), at+rnd.IntN(600)); i++ {
						b[i] = byte(rnd.Uint32())
					}
				case 3: // bytes of another place
					copy(b[at:min(len(b), at+rnd.IntN(600))], b[rnd.IntN(len(b)):])
				}
				mustWrite(t, mem, path, b)
			}
			lost := make(map[string]bool)
			for _, name := range names {
				lost[name] = unreadable(t, src, mem, name, list)
			}
			checkSalvage(t, mem, 400, whole(t, src, mem, list, lost))
		})
	}
}

// unreadable reports whether a segment has lost its header page, and with it what gives its seed away.
func unreadable(t testing.TB, src, mem *vfs.Mem, name string, list []place) bool {
	before, after := mustRead(t, src, filepath.Join(memDir, name)), mustRead(t, mem, filepath.Join(memDir, name))
	same := func(from, to int64) bool { return bytes.Equal(before[from:to], after[from:to]) }
	mine := slices.DeleteFunc(slices.Clone(list), func(p place) bool { return p.name != name })
	size := int64(len(before))
	footer := same(size-trailerLen, size)
	some := slices.ContainsFunc(mine, func(p place) bool { return same(p.off, p.off+blockHeaderLen) })
	first := same(mine[0].off, mine[0].off+blockHeaderLen) && same(mine[1].off, mine[1].off+blockHeaderLen)
	salt := same(80, 88) && (footer || some)
	return !same(0, segmentHeaderLen) && !salt && !(footer && some) && !first
}

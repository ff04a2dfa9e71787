package journal

import (
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// hostileBases are the directories that FuzzOpenHostile changes: one of each sort that there is.
func hostileBases(f *testing.F) []*vfs.Mem {
	must := func(err error) {
		if err != nil {
			f.Helper()
			f.Fatal(err)
		}
	}
	var bases []*vfs.Mem
	build := func(opts Options, run func(mem *vfs.Mem, w *Writer)) {
		mem := vfs.NewMem()
		opts.FS, opts.Sync, opts.MaxBlock = mem, SyncNone, minMaxBlock
		w, err := openStepped(memDir, &opts)
		must(err)
		run(mem, w)
		bases = append(bases, mem)
	}
	two := func(mem *vfs.Mem, w *Writer) {
		_, err := w.DefineStream("one")
		must(err)
		fill(f, w, 6, 2)
		w.stepSync()
		fill(f, w, 2, 2)
		w.forceRotate(f)
		must(w.AppendLoss(Loss{Stream: 1, Records: 2, Reason: LossOverload}))
		fill(f, w, 4, 2)
	}
	build(Options{}, func(mem *vfs.Mem, w *Writer) { two(mem, w); mustClose(f, w) })
	build(Options{}, func(mem *vfs.Mem, w *Writer) { two(mem, w); must(w.unlock()) })
	build(Options{}, func(mem *vfs.Mem, w *Writer) {
		two(mem, w)
		mustClose(f, w)
		_, err := Compact(memDir, &CompactOptions{FS: mem})
		must(err)
	})
	build(Options{}, func(mem *vfs.Mem, w *Writer) {
		two(mem, w)
		_, err := OpenCursor(memDir, "c", &CursorOptions{FS: mem, Seq: 9})
		must(err)
		mustClose(f, w)
		_, err = Trim(memDir, &TrimOptions{FS: mem, BeforeSeq: 8})
		must(err)
	})
	return bases
}

// hostileEdit changes the files of a directory as a program of bytes says: it may write, fill, cut, copy, move, remove, and make checksums right.
func hostileEdit(mem *vfs.Mem, program []byte) {
	next := func() int {
		if len(program) == 0 {
			return 0
		}
		b := program[0]
		program = program[1:]
		return int(b)
	}
	for n := 0; len(program) > 0 && n < 64; n++ {
		entries, err := mem.ReadDir(memDir)
		if err != nil || len(entries) == 0 {
			return
		}
		op := next()
		path := filepath.Join(memDir, entries[next()%len(entries)].Name())
		b, err := mem.ReadFile(path)
		if err != nil {
			continue // a directory
		}
		at := next()<<8 | next()
		if len(b) > 0 {
			at %= len(b)
		} else {
			at = 0
		}
		switch op % 8 {
		case 0: // write
			k := min(next()%32, len(program), len(b)-at)
			copy(b[at:], program[:k])
			program = program[k:]
		case 1: // fill
			for i, v := at, byte(next()); i < len(b) && i < at+512; i++ {
				b[i] = v
			}
		case 2:
			b = b[:at]
		case 3: // copy from elsewhere in the file
			if from := next() << 5; from < len(b) {
				copy(b[at:], b[from:min(len(b), from+64*(1+next()))])
			}
		case 4: // another's content behind it
			if other, err := mem.ReadFile(filepath.Join(memDir, entries[next()%len(entries)].Name())); err == nil && len(b) < 64<<10 {
				b = append(b, other...)
			}
		case 5: // a copy under another name
			_ = mem.WriteFile(filepath.Join(memDir, segmentName(uint64(next()), uint64(next()%4))), append([]byte(nil), b...))
		case 6:
			_ = mem.Remove(path)
			continue
		case 7:
			fixChecksums(b)
		}
		_ = mem.WriteFile(path, b)
	}
}

// Bounds for FuzzOpenHostile, whose directories hold some 100 KiB.
const (
	hostileReads = 20000    // calls of ReadAt by one function
	hostileBytes = 24 << 20 // bytes allocated by one function, readers' and workers' buffers included
	hostileBlock = 64 << 20 // and the most that a compressed block may call its size
)

// FuzzOpenHostile gives directories that somebody has made on purpose to all that open one. Nothing may panic, hang, read more than so often, or
// allocate more than it says.
func FuzzOpenHostile(f *testing.F) {
	bases := hostileBases(f)
	for i := range bases {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{0, 0, 16, 8, 4, 255, 255, 255, 255, 7, 0, 0, 0})
		f.Add(uint8(i), []byte{2, 1, 18, 0, 5, 1, 0, 0, 9, 1})
		f.Add(uint8(i), []byte{3, 2, 16, 64, 130, 4, 7, 2, 0, 0, 6, 0, 0, 0})
		f.Add(uint8(i), []byte{0, 0, 0, 96, 4, 0, 0, 0, 4, 7, 0, 0, 0}) // the block limit is 64 MiB
	}
	f.Fuzz(func(t *testing.T, base uint8, program []byte) {
		mem := bases[int(base)%len(bases)].Clone()
		hostileEdit(mem, program)
		bounded(t, mem, "verify", func(sys vfs.FS) error {
			_, err := Verify(memDir, &VerifyOptions{FS: sys, Workers: 2})
			return err
		})
		for _, o := range []ReaderOptions{{Control: true}, {FromSeq: 7}, {FromTime: timeOf(9)}, {End: true}, {Durable: true}, {Salvage: true, Control: true}, {Window: time.Second}} {
			bounded(t, mem, "reader", func(sys vfs.FS) error { return readHostile(t, sys, o) })
		}
		bounded(t, mem, "segments", func(sys vfs.FS) error { _, err := Segments(memDir, &ReaderOptions{FS: sys}); return err })
		bounded(t, mem, "cursors", func(sys vfs.FS) error { _, err := Cursors(memDir, sys); return err })
		bounded(t, mem, "salvage", func(sys vfs.FS) error { _, err := Salvage(memDir, "", &SalvageOptions{FS: sys}); return err })
		bounded(t, mem, "open", func(sys vfs.FS) error {
			w, err := openStepped(memDir, &Options{FS: sys})
			if err == nil {
				_, err = w.Append(Record{Time: 1, Payload: []byte("more")})
				err = errors.Join(err, w.Close())
			}
			return err
		})
	})
}

// bounded runs a function on a directory and checks what it has read and allocated.
func bounded(t *testing.T, mem *vfs.Mem, what string, run func(sys vfs.FS) error) {
	t.Helper()
	sys := &tallyFS{FS: mem}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := run(sys)
	runtime.ReadMemStats(&after)
	if n := sys.reads.Load(); n > hostileReads {
		t.Errorf("%s: %d reads (%v)", what, n, err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > hostileBytes+2*hostileBlock {
		t.Errorf("%s: %d bytes allocated (%v)", what, n, err)
	}
}

func readHostile(t *testing.T, sys vfs.FS, o ReaderOptions) error {
	o.FS = sys
	r, err := OpenReader(memDir, &o)
	if err != nil {
		return err
	}
	defer r.Close()
	for n := 0; ; n++ {
		_, err := r.Next(t.Context())
		if err != nil && !passing(err) {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		if n > 5000 {
			t.Fatalf("%+v: does not end: %v", o, err)
		}
	}
}

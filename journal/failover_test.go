package journal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// spread makes an archive of several opens and moves the segments with odd indexes to another directory, as if the primary had failed.
func spread(t *testing.T) (mem *vfs.Mem, other string, next uint64) {
	t.Helper()
	mem = vfs.NewMem()
	for range 4 {
		w := mustOpen(t, memDir, &Options{FS: mem})
		fill(t, w, 20, 7)
		next = w.NextSeq()
		mustClose(t, w)
	}
	other = filepath.Join(t.TempDir(), "other")
	if err := mem.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	for i, name := range segmentNames(t, mem) {
		if i%2 == 1 {
			if err := mem.Rename(filepath.Join(memDir, name), filepath.Join(other, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := (archive{fs: mem, dir: memDir}).writeFailover(other); err != nil {
		t.Fatal(err)
	}
	return mem, other, next
}

// Segments in two directories are one archive, for whoever reads it and for the next writer.
func TestTwoDirectories(t *testing.T) {
	mem, other, next := spread(t)
	readAll(t, memDir, &ReaderOptions{FS: mem}, 0, next)
	infos, err := Segments(memDir, &ReaderOptions{FS: mem})
	if err != nil || len(infos) != 4 || filepath.Dir(infos[1].File) != other || infos[2].File != segmentName(40, 3) {
		t.Errorf("%+v, %v", infos, err)
	}
	rep, err := Verify(memDir, &VerifyOptions{FS: mem})
	if err != nil || rep.Verdict != Clean || rep.Segments != 4 || len(rep.Foreign) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	w := mustOpen(t, memDir, &Options{FS: mem})
	if w.NextSeq() != next || w.Stats().Epoch != 5 || w.Recovered().Segments != 4 {
		t.Errorf("next sequence %d, epoch %d, %+v", w.NextSeq(), w.Stats().Epoch, w.Recovered())
	}
	mustClose(t, w)
}

// What FAILOVER names must be there: without it nobody can say where the archive ends.
func TestFailoverDirectoryMissing(t *testing.T) {
	mem, other, _ := spread(t)
	for _, name := range []string{filepath.Join(other, segmentName(20, 2)), filepath.Join(other, segmentName(60, 4)), other} {
		if err := mem.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	_, openErr := Open(memDir, &Options{FS: mem})
	_, readErr := OpenReader(memDir, &ReaderOptions{FS: mem})
	_, verifyErr := Verify(memDir, &VerifyOptions{FS: mem})
	for name, err := range map[string]error{"Open": openErr, "OpenReader": readErr, "Verify": verifyErr} {
		if err == nil || !strings.Contains(err.Error(), other) || !strings.Contains(err.Error(), failoverName) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseFailover(t *testing.T) {
	abs := func(names ...string) string {
		for i, n := range names {
			names[i] = filepath.Join(os.TempDir(), n)
		}
		return strings.Join(names, "\n")
	}
	for name, tc := range map[string]struct {
		content string
		dirs    int
	}{
		"one":              {abs("a") + "\n", 1},
		"two":              {abs("a", "b") + "\n", 2},
		"no last newline":  {abs("a", "b"), 2},
		"empty":            {"", -1},
		"relative":         {"a\n", -1},
		"empty line":       {abs("a") + "\n\n" + abs("b"), -1},
		"a zero byte":      {abs("a\x00b") + "\n", -1},
		"longer than that": {strings.Repeat(abs("a")+"\n", maxFailoverFile/4), -1},
	} {
		dirs, err := parseFailover([]byte(tc.content))
		if (err != nil) != (tc.dirs < 0) || err == nil && len(dirs) != tc.dirs {
			t.Errorf("%s: %q, %v", name, dirs, err)
		}
	}
}

package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Random archives of every kind, damaged at random: the salvaged copy is clean, has every data record that a reader which goes on behind
// damage delivers, as it was, and none twice. LOGBUF_SPEC_ARCHIVES and LOGBUF_SPEC_SEED say how many and from which seed on.
func TestSalvageRandomArchives(t *testing.T) {
	failed := 0
	first, n := salvageEnv("LOGBUF_SPEC_SEED", 0), salvageEnv("LOGBUF_SPEC_ARCHIVES", 200)
	if testing.Short() || raceEnabled {
		n = min(n, 40)
	}
	for seed := first; seed < first+n; seed++ {
		s := &specWriter{t: t, rng: testRand(seed), mem: vfs.NewMem(), now: 1e18}
		s.writeAll()
		var done []string
		for range s.rng.IntN(6) {
			done = append(done, s.damage())
		}
		if bad := salvageAgrees(t, s.mem); bad != "" {
			t.Errorf("seed %d %q: %s", seed, done, bad)
			if failed++; failed == 5 {
				return
			}
		}
	}
}

// salvageAgrees compares a salvaged copy with what a reader gets out of an archive.
func salvageAgrees(t *testing.T, mem *vfs.Mem) (bad string) {
	t.Helper()
	rep, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem})
	if err != nil && (strings.Contains(err.Error(), "nothing to make an archive of") || errors.Is(err, ErrNotArchive)) {
		return ""
	}
	if err != nil {
		return err.Error()
	}
	v, err := Verify(salvageDir, &VerifyOptions{FS: mem})
	if err != nil || v.Verdict != Clean || v.Records != rep.Records {
		return fmt.Sprintf("out: %+v, %v", v, err)
	}
	type key struct {
		seq  uint64
		text string
	}
	have := make(map[key]int)
	collect := func(dir string, n int) uint64 {
		count, next := uint64(0), uint64(0)
		for _, r := range goOutcome(t, dir, mem).Content {
			if r.Kind >= firstControl {
				continue
			}
			if r.Seq < next {
				bad = fmt.Sprintf("%s: sequence %d after %d", dir, r.Seq, next-1)
			}
			count, next = count+1, r.Seq+1
			r.Name = "" // a definition may be gone
			have[key{r.Seq, fmt.Sprint(r)}] += n
		}
		return count
	}
	if n := collect(salvageDir, 1); n != rep.Records {
		return fmt.Sprintf("%d records in the copy, %d were salvaged", n, rep.Records)
	}
	collect(memDir, -1)
	for k, n := range have {
		if n < 0 {
			return fmt.Sprintf("a reader delivers record %d, the copy does not have it: %s; gaps %+v", k.seq, k.text, rep.Gaps)
		}
	}
	return bad
}

// The reader in Python says the same of salvaged archives.
func TestPythonReaderAgreesOnSalvaged(t *testing.T) {
	py := python(t)
	src := longArchive(t)
	var outs []*vfs.Mem
	var dirs []string
	list := damages(t, src)[:13]
	for i, d := range list {
		mem := src.Clone()
		d.do(t, mem)
		if _, err := Salvage(memDir, salvageDir, &SalvageOptions{FS: mem}); err != nil {
			t.Fatal(err)
		}
		out := vfs.NewMem()
		copyInto(t, out, mem, salvageDir)
		if err := out.Rename(salvageDir, memDir); err != nil {
			t.Fatal(err)
		}
		outs, dirs = append(outs, out), append(dirs, filepath.Join(t.TempDir(), fmt.Sprint(i)))
		export(t, out, dirs[i])
	}
	for i, got := range pyRead(t, py, dirs...) {
		if want := goOutcome(t, memDir, outs[i]); !sameOutcome(t, list[i].name, got.outcome, want) || want.Verdict != "clean" {
			t.Errorf("%s: %q, %q", list[i].name, want.Verdict, got.problems)
		}
	}
}

// salvageEnv is a number from the environment, v when it is not there.
func salvageEnv(name string, v int) uint64 {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		v = n
	}
	return uint64(v)
}

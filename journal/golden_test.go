package journal

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goldenDir holds archives that were written once and are never changed: what this version and every later one must read. NAME.json says
// what is in NAME; SHA256SUMS lists all files. New ones are made by TestMakeGolden.
const goldenDir = "testdata/golden"

const goldenSums = "SHA256SUMS"

func goldenNames(t testing.TB) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(goldenDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func goldenWant(t testing.TB, name string) (o outcome) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(goldenDir, name+".json"))
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// hashGoldens returns the lines of SHA256SUMS as they should be, sorted by file.
func hashGoldens(t testing.TB) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(goldenDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == goldenSums {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(goldenDir, path)
		lines = append(lines, fmt.Sprintf("%x  %s", sha256.Sum256(b), filepath.ToSlash(rel)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	return lines
}

// No golden file is ever changed, removed, or added without being listed.
func TestGoldenFilesAreUnchanged(t *testing.T) {
	f, err := os.Open(filepath.Join(goldenDir, goldenSums))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	listed := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		listed[s.Text()[66:]] = s.Text()[:64]
	}
	if len(listed) == 0 {
		t.Fatal("the list is empty")
	}
	for _, line := range hashGoldens(t) {
		name, sum := line[66:], line[:64]
		switch listed[name] {
		case sum:
		case "":
			t.Errorf("%s is not in %s: add it", name, goldenSums)
		default:
			t.Errorf("%s has been changed. Golden files never change: what they hold must stay readable", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("%s is missing", name)
	}
}

// Both Verify and a Reader find in every golden archive what is written there.
func TestGoldenArchives(t *testing.T) {
	names := goldenNames(t)
	if len(names) < 10 {
		t.Fatalf("only %d golden archives: %v", len(names), names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			want := goldenWant(t, name)
			dir := filepath.Join(goldenDir, name)
			sameOutcome(t, "Go", goOutcome(t, dir, nil), want)
			checkStrict(t, dir, want)
			checkSeek(t, dir, want)
		})
	}
}

// checkStrict reads without Salvage: all that is before the first damage, then a *CorruptionError if there is damage.
func checkStrict(t *testing.T, dir string, want outcome) {
	t.Helper()
	r, err := OpenReader(dir, &ReaderOptions{Control: true})
	n := 0
	for err == nil {
		var rec Record
		var gap *GapError
		if rec, err = r.Next(t.Context()); errors.As(err, &gap) {
			err = nil // lost, but not damaged: reading goes on
			continue
		}
		if err != nil || rec.Kind == KindOpen {
			continue
		}
		if n == len(want.Content) || want.Content[n].Seq != rec.Seq || want.Content[n].Time != rec.Time {
			t.Fatalf("record %d is %+v", n, rec)
		}
		n++
	}
	if r != nil {
		defer r.Close()
	}
	var c *CorruptionError
	switch {
	case want.Verdict == "corrupt" && errors.As(err, &c):
	case errors.Is(err, io.EOF) && n == len(want.Content): // damage to a footer alone costs no record
		rep, err := Verify(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		index := rep.Torn != nil && strings.Contains(rep.Torn.Reason, "index") // which a Reader does not look at
		if torn := r.Torn() != nil; torn != (want.Verdict == "torn") && !index {
			t.Errorf("Torn() is %+v, the verdict %s", r.Torn(), want.Verdict)
		}
	default:
		t.Errorf("%v after %d of %d records, the verdict is %s", err, n, len(want.Content), want.Verdict)
	}
}

// checkSeek opens an archive at each of its data records.
func checkSeek(t *testing.T, dir string, want outcome) {
	t.Helper()
	for i, rec := range want.Content {
		if rec.Kind >= firstControl || i%7 != 0 {
			continue
		}
		r, err := OpenReader(dir, &ReaderOptions{FromSeq: rec.Seq, Salvage: true})
		if err != nil {
			t.Fatal(err)
		}
		var got Record
		var gap *GapError
		for got, err = r.Next(t.Context()); errors.As(err, &gap); got, err = r.Next(t.Context()) {
		}
		if err != nil || got.Seq != rec.Seq || got.Time != rec.Time || r.StreamName(got.Stream) != rec.Name {
			t.Errorf("from sequence %d: %+v, %v", rec.Seq, got, err)
		}
		_ = r.Close()
	}
}

// The reader in Python, written from the specification alone, finds the same.
func TestPythonReaderReadsGoldenArchives(t *testing.T) {
	var dirs []string
	for _, name := range goldenNames(t) {
		dirs = append(dirs, filepath.Join(goldenDir, name))
	}
	for _, got := range pyRead(t, python(t), dirs...) {
		if name := filepath.Base(got.dir); !sameOutcome(t, name, got.outcome, goldenWant(t, name)) {
			t.Errorf("%s: %q", name, got.problems)
		}
	}
}

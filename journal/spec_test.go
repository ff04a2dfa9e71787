package journal

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// outcome is what a reader says of an archive: this package, or spec/lbj.py, or a golden archive's JSON.
type outcome struct {
	Verdict string      `json:"verdict"`
	Sealed  bool        `json:"sealed"`
	Records uint64      `json:"records"`
	First   uint64      `json:"first_seq"`
	Next    uint64      `json:"next_seq"`
	Gone    []seqRun    `json:"gone"`    // sequences that are lost or otherwise missing
	Content []outRecord `json:"content"` // every record, control records included
}

// seqRun is a range of sequences; Last is MaxUint64 when its end is not known.
type seqRun struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

type outRecord struct {
	Seq     uint64 `json:"seq"`
	Time    int64  `json:"time"`
	Kind    uint8  `json:"kind"`
	Flags   uint8  `json:"flags"`
	Stream  uint16 `json:"stream"`
	Name    string `json:"name"`
	Payload string `json:"payload"`
}

// mergeRuns sorts ranges and joins those that touch.
func mergeRuns(runs []seqRun) []seqRun {
	slices.SortFunc(runs, func(a, b seqRun) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last)) })
	var merged []seqRun
	for _, r := range runs {
		if n := len(merged); n > 0 && (merged[n-1].Last == math.MaxUint64 || r.First <= merged[n-1].Last+1) {
			merged[n-1].Last = max(merged[n-1].Last, r.Last)
			continue
		}
		merged = append(merged, r)
	}
	if len(merged) == 1 && merged[0] == (seqRun{0, math.MaxUint64}) { // in a Gap that is the same as nothing
		return nil
	}
	return merged
}

// goOutcome reads an archive with Verify and a Reader.
func goOutcome(t testing.TB, dir string, fs vfs.FS) outcome {
	t.Helper()
	rep, err := Verify(dir, &VerifyOptions{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{Verdict: rep.Verdict.String(), Sealed: rep.Sealed, Records: rep.Records, First: rep.FirstSeq, Next: rep.NextSeq, Content: []outRecord{}}
	var runs []seqRun
	for _, g := range slices.Concat(rep.Problems, rep.Gaps) {
		if n, known := g.Lost(); n > 0 || !known {
			runs = append(runs, seqRun{g.FirstSeq, g.LastSeq})
		}
	}
	o.Gone = mergeRuns(runs)
	r, err := OpenReader(dir, &ReaderOptions{FS: fs, Control: true, Salvage: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for gaps := 0; ; {
		rec, err := r.Next(t.Context())
		var gap *GapError
		switch {
		case errors.Is(err, io.EOF):
			return o
		case errors.As(err, &gap):
			if gaps++; gaps > 1000 {
				t.Fatalf("no end of gaps: %v", err)
			}
		case err != nil:
			t.Fatalf("%v, after %d records", err, len(o.Content))
		case rec.Kind != KindOpen: // the reader's own
			o.Content = append(o.Content, outRecord{
				rec.Seq, rec.Time, rec.Kind, rec.Flags, rec.Stream, r.StreamName(rec.Stream), hex.EncodeToString(rec.Payload),
			})
		}
	}
}

// python returns the name of the interpreter for spec/lbj.py. Without one the test is skipped, or fails if LOGBUF_REQUIRE_PYTHON is set.
func python(t testing.TB) string {
	t.Helper()
	name, err := exec.LookPath("python3")
	if err == nil {
		return name
	}
	if os.Getenv("LOGBUF_REQUIRE_PYTHON") != "" {
		t.Fatal("LOGBUF_REQUIRE_PYTHON is set, and there is no python3")
	}
	t.Skip("no python3: the second reader is not tried")
	return ""
}

// pyOutcome is what spec/lbj.py says of an archive.
type pyOutcome struct {
	outcome
	dir      string
	problems []string
}

// pyRead reads archives with spec/lbj.py.
func pyRead(t testing.TB, python string, dirs ...string) (all []pyOutcome) {
	t.Helper()
	cmd := exec.Command(python, append([]string{filepath.Join("..", "spec", "lbj.py")}, dirs...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); errs.Len() > 0 {
		t.Fatalf("lbj.py %q: %v\n%s", dirs, err, errs.Bytes())
	}
	worst := 0
	content := []outRecord{}
	for line := range bytes.Lines(out.Bytes()) {
		if !bytes.HasPrefix(line, []byte(`{"verdict"`)) {
			var rec outRecord
			if err := json.Unmarshal(line, &rec); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			content = append(content, rec)
			continue
		}
		o := pyVerdict(t, line)
		worst = max(worst, slices.Index([]string{"clean", "torn", "loss", "corrupt", "refused"}, o.Verdict))
		o.Content, content = content, []outRecord{}
		all = append(all, o)
	}
	if len(all) != len(dirs) || cmd.ProcessState.ExitCode() != worst {
		t.Fatalf("lbj.py reads %d of %d archives, exit status %d, the worst verdict is %d", len(all), len(dirs), cmd.ProcessState.ExitCode(), worst)
	}
	return all
}

// pyVerdict reads a line with a verdict.
func pyVerdict(t testing.TB, line []byte) pyOutcome {
	t.Helper()
	var v struct {
		outcome
		Dir           string
		Lost, Missing [][2]*uint64
		Problems      []string
	}
	if err := json.Unmarshal(line, &v); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	var runs []seqRun
	for _, r := range slices.Concat(v.Lost, v.Missing) {
		run := seqRun{*r[0], math.MaxUint64}
		if r[1] != nil {
			run.Last = *r[1]
		}
		runs = append(runs, run)
	}
	v.Gone = mergeRuns(runs)
	return pyOutcome{outcome: v.outcome, dir: v.Dir, problems: v.Problems}
}

// sameOutcome compares what two readers say.
func sameOutcome(t testing.TB, what string, got, want outcome) bool {
	t.Helper()
	got.Content = slices.Clone(got.Content)
	for i, w := range want.Content[:min(len(got.Content), len(want.Content))] {
		// The Go reader knows the streams of a block from its beginning on. In one without data records, where alone definitions are, it may
		// so name a stream that is defined further on.
		if g := &got.Content[i]; g.Kind >= firstControl && (g.Name == "" || w.Name == "") {
			g.Name = w.Name
		}
	}
	if reflect.DeepEqual(got, want) {
		return true
	}
	for i := range min(len(got.Content), len(want.Content)) {
		if got.Content[i] != want.Content[i] {
			t.Errorf("%s: record %d is\n%+v, want\n%+v", what, i, got.Content[i], want.Content[i])
			break
		}
	}
	n, m := len(got.Content), len(want.Content)
	got.Content, want.Content = nil, nil
	t.Errorf("%s: %d records, %+v, want\n%d records, %+v", what, n, got, m, want)
	return false
}

// export copies an archive in memory into a directory, without its lock.
func export(t testing.TB, mem *vfs.Mem, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	entries, err := mem.ReadDir(memDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() || e.Name() == lockName || e.Name() == nextName {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), mustRead(t, mem, filepath.Join(memDir, e.Name())), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

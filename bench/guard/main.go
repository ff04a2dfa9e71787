package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func main() {
	update := flag.Bool("update", false, "record the counts instead of comparing them")
	file := flag.String("counts", "guard/counts.txt", "the `file` with the counts")
	run := flag.String("call", "", "count nothing, make this call -n times: what valgrind is given to do")
	n := flag.Int("n", 0, "see -call")
	flag.Parse()
	var err error
	if *run != "" {
		err = repeat(*run, *n)
	} else {
		err = guard(*file, *update)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		os.Exit(1)
	}
}

// repeat makes a call n times.
func repeat(name string, n int) error {
	i := slices.IndexFunc(calls, func(c call) bool { return c.name == name })
	if i < 0 {
		return fmt.Errorf("no call %q", name)
	}
	defer func() {
		for _, f := range slices.Backward(atEnds) {
			f()
		}
	}()
	run, err := calls[i].make(n)
	if err != nil {
		return err
	}
	for range n {
		run()
	}
	runtime.KeepAlive(sink)
	return nil
}

// runs is how often a call is made in the shorter of two runs. A whole number of
// the batches that archives are made of, and enough for rings to go round.
const runs = 64 << 10

// count returns the instructions of one call.
func count(name string) (float64, error) {
	short, err := instructions(name, runs)
	if err != nil {
		return 0, err
	}
	long, err := instructions(name, 3*runs)
	return float64(long-short) / (2 * runs), err
}

var collected = regexp.MustCompile(`Collected : (\d+)`)

func instructions(name string, n int) (int64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("valgrind", "--tool=callgrind", "--callgrind-out-file="+os.DevNull, self, "-call", name, "-n", strconv.Itoa(n))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return 0, fmt.Errorf("%w: install Debian's valgrind", err)
	}
	m := collected.FindSubmatch(out)
	if err != nil || m == nil {
		return 0, fmt.Errorf("%s: %v: %s", name, err, out[max(0, len(out)-2000):])
	}
	return strconv.ParseInt(string(m[1]), 10, 64)
}

// tolerance is how much a count may differ from the recorded one, as a share of
// it: a call that goes on in another goroutine is cut into pieces by chance.
func tolerance(name string) float64 {
	if strings.HasPrefix(name, "recorder ") || strings.HasPrefix(name, "tracebuf ") {
		return 0.08
	}
	return 0.03
}

// guard counts all calls, and compares with the file or writes it.
func guard(file string, update bool) error {
	recorded, compiler, err := readCounts(file)
	if err != nil && !update {
		return err
	}
	if this := compilerName(); compiler != this && !update {
		return fmt.Errorf("%s was recorded with %s, this is %s: see what changes by counting an old commit with the new compiler, then record with -update", file, compiler, this)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# instructions per call, %s; go run ./guard -update records them anew\n", compilerName())
	bad := 0
	for _, c := range calls {
		n, err := count(c.name)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s\t%.1f\n", c.name, n)
		was, ok := recorded[c.name]
		verdict := "new"
		if ok {
			diff := n/was - 1
			verdict = fmt.Sprintf("%+.1f %%", 100*diff)
			if diff > tolerance(c.name) || diff < -tolerance(c.name) {
				verdict += "  CHANGED"
			}
		}
		if !update && (!ok || strings.HasSuffix(verdict, "CHANGED")) {
			bad++
		}
		fmt.Printf("%-42s %8.1f  was %8.1f  %s\n", c.name, n, was, verdict)
	}
	if update {
		return os.WriteFile(file, out.Bytes(), 0o644)
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d calls differ from %s by more than the tolerance: if that is meant, say why in the commit and record with -update", bad, len(calls), file)
	}
	return nil
}

func compilerName() string { return runtime.Version() + " " + runtime.GOARCH }

// readCounts reads the recorded counts, and which compiler they are of.
func readCounts(file string) (counts map[string]float64, compiler string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	counts = map[string]float64{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "# instructions per call, "); ok {
			compiler, _, _ = strings.Cut(rest, ";")
			continue
		}
		name, value, ok := strings.Cut(line, "\t")
		if !ok {
			continue
		}
		if counts[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, "", fmt.Errorf("%s: %q: %w", file, line, err)
		}
	}
	return counts, compiler, nil
}

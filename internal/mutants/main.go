// Command mutants changes one line of the rings, the parker, the channels, the
// recorder or the telemetry at a time, each change a defect, and runs the fast tests on each:
// they must fail. It exits with 1 if one of them passes, so that a test which
// stops testing is noticed. Run it from the root of the repository:
//
//	go run ./internal/mutants            # all of them
//	go run ./internal/mutants -run pad   # those whose name matches
//
// Nothing in the work tree changes: the go command gets the changed file as an
// overlay.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutant is one defect: in file, old, which stands there once, becomes new.
type mutant struct {
	name     string
	file     string
	old, new string
	tests    []string // packages, besides the one of the file
	explore  string   // if set: the test of the explorer that finds it
	run      string   // if set: only tests whose name matches
}

func main() {
	pattern := flag.String("run", "", "only mutants whose name matches this regular expression")
	list := flag.Bool("list", false, "print the names only")
	flag.Parse()
	match, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(64)
	}
	work, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer os.RemoveAll(work)
	var ran, survived int
	for _, m := range mutants {
		if !match.MatchString(m.name) {
			continue
		}
		if *list {
			fmt.Println(m.name)
			continue
		}
		ran++
		start := time.Now()
		verdict, caught := m.try(work)
		if !caught {
			survived++
		}
		fmt.Printf("%-10s %-46s %-26s %4.1fs  %s\n", map[bool]string{true: "caught", false: "SURVIVED"}[caught], m.name, m.file, time.Since(start).Seconds(), verdict)
	}
	if *list {
		return
	}
	fmt.Printf("%d mutants, %d caught, %d survived\n", ran, ran-survived, survived)
	if survived > 0 || ran == 0 {
		os.Exit(1)
	}
}

// try runs the tests on the mutant. It is caught if they compile and fail.
func (m mutant) try(work string) (verdict string, caught bool) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return err.Error(), false
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 {
		return fmt.Sprintf("the line to change stands %d times in the file: bring the mutant up to date", n), false
	}
	changed := filepath.Join(work, "mutant.go")
	if err := os.WriteFile(changed, bytes.Replace(source, []byte(m.old), []byte(m.new), 1), 0o600); err != nil {
		return err.Error(), false
	}
	original, err := filepath.Abs(m.file)
	if err != nil {
		return err.Error(), false
	}
	overlay, _ := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	overlayFile := filepath.Join(work, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return err.Error(), false
	}
	// The tests take a few seconds; those that run longer hang on the mutant.
	args := []string{"-overlay", overlayFile, "-count=1", "-short", "-failfast", "-timeout=60s"}
	if m.run != "" {
		args = append(args, "-run="+m.run)
	}
	if m.explore != "" {
		args = append(args[:len(args)-1], "-timeout=10m", "-tags=logbuf_explore", "-run="+m.explore)
	}
	packages := append([]string{"./" + filepath.ToSlash(filepath.Dir(m.file))}, m.tests...)
	if out, err := exec.Command("go", append(append([]string{"vet"}, args[:2]...), packages[0])...).CombinedOutput(); err != nil {
		return "does not compile: " + firstLine(string(out)), false
	}
	out, err := exec.Command("go", append(append([]string{"test"}, args...), packages...)...).CombinedOutput()
	if err == nil {
		return "", false
	}
	return reason(string(out)), true
}

var failing = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^(panic: .*|fatal error: .*)$`)

// reason is the most telling line of a failed run.
func reason(out string) string {
	var tests []string
	for _, f := range failing.FindAllStringSubmatch(out, -1) {
		if f[1] != "" {
			tests = append(tests, f[1])
		} else if len(tests) == 0 {
			return f[2]
		}
	}
	if len(tests) > 0 {
		return tests[len(tests)-1]
	}
	return firstLine(out)
}

func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}

package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Every question has an answer and a plot, however little is measured, and leaves
// nothing behind. Ways that lose records, or count them wrongly, panic.
func TestEveryQuestion(t *testing.T) {
	o := quick(t, "", "", "")
	out := printed(t, o)
	for _, q := range questions(o) {
		if !regexp.MustCompile(`(?m)^## .*\(` + q.name + `\)$`).MatchString(out) {
			t.Errorf("%s: no table", q.name)
		}
		for _, row := range q.rows {
			if !regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(row.name) + ` \| .*\d`).MatchString(out) {
				t.Errorf("%s: %s: no figures", q.name, row.name)
			}
		}
		if s, err := os.Stat(filepath.Join(o.plots, q.name+".svg")); err != nil || s.Size() < 1000 {
			t.Errorf("%s: no plot: %v", q.name, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(o.dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Only what is wanted is measured and printed: questions, rows, columns.
func TestPick(t *testing.T) {
	for _, tt := range []struct {
		name, questions, rows, cols string
		want                        string // regexp: headings and rows, all of them
	}{
		{"one cell of means", "^one-heels$", "^SPSC, claim", "^64 B$", `^## .*\(one-heels\)\n\| SPSC, claim, Drain \| – \| [^ –]+ \([^|]+ \| – \| – \| – \| – \| \S+ \|\n$`},
		{"one cell of quantiles", "^latency$", "^MPSC, Write", "^1 KiB$", `^## .*\(latency\)\n\| MPSC, Write, Drain \| 1 KiB \| .*\n$`},
		{"a row that is not in all columns", "^alone$", "^nothing$", "", `^## .*\(alone\)\n\| nothing \| 8 B \| .*\n$`},
		{"rows of more than one question", "^one-", "^SPSC, Write, Next$", "^8 B$", `^## .*\(one-saturated\)\n\| SPSC, Write, Next \| .*\n## .*\(one-heels\)\n\| SPSC, Write, Next \| .*\n$`},
		{"no such column for the row", "^alone$", "^nothing$", "^64 B$", `^$`},
		{"no such row", "", "^nobody$", "", `^$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := printed(t, quick(t, tt.questions, tt.rows, tt.cols))
			var lines string
			for _, l := range regexp.MustCompile(`(?m)^(## |\| ).*\n`).FindAllString(out, -1) {
				if !strings.HasPrefix(l, "| ns") && !strings.HasPrefix(l, "| "+tickName) {
					lines += l
				}
			}
			if !regexp.MustCompile(tt.want).MatchString(lines) {
				t.Errorf("got\n%s\nwant %s", lines, tt.want)
			}
		})
	}
}

// quick measures next to nothing of what matches.
func quick(t *testing.T, questions, rows, cols string) *options {
	t.Helper()
	want := pick{regexp.MustCompile(questions), regexp.MustCompile(rows), regexp.MustCompile(cols)}
	return &options{want: want, rounds: 1, each: time.Microsecond, dir: t.TempDir(), plots: t.TempDir(), records: 1 << 12, stop: t.Context()}
}

// printed is what the answers print.
func printed(t *testing.T, o *options) string {
	t.Helper()
	stdout := os.Stdout
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	out := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		out <- string(b)
	}()
	err = o.answer(false)
	_ = w.Close() // a pipe
	got := <-out
	if err != nil {
		t.Fatal(err)
	}
	return got
}

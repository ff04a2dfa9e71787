package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// Every question has an answer and a plot, however little is measured, and leaves
// nothing behind. Ways that lose records, or count them wrongly, panic.
func TestEveryQuestion(t *testing.T) {
	stdout := os.Stdout
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	printed := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		printed <- string(b)
	}()
	o := &options{rounds: 1, each: time.Microsecond, dir: t.TempDir(), plots: t.TempDir(), seekIn: 1 << 12}
	err = o.answer(regexp.MustCompile(""), false)
	_ = w.Close() // a pipe
	out := <-printed
	if err != nil {
		t.Fatal(err)
	}
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

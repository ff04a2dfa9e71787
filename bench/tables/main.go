package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second one ends the program at once
	o := options{stop: ctx, records: 1 << 20, show: isTerminal(os.Stderr)}
	run := flag.String("run", "", "only the questions whose names match this `regexp`")
	rows := flag.String("rows", "", "only the rows whose names match this `regexp`")
	cols := flag.String("cols", "", "only the columns whose names match this `regexp`")
	list := flag.Bool("list", false, "print the questions and end")
	flag.IntVar(&o.rounds, "rounds", 5, "runs of each cell; rows take turns, cells show the median and the extremes")
	flag.DurationVar(&o.each, "each", 100*time.Millisecond, "how long one run of a cell is meant to take")
	flag.StringVar(&o.plots, "svg", "", "write a plot of each table into this `directory`")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "`directory` for archives: the disk that is measured")
	flag.Usage = usage
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 {
		usage()
		os.Exit(64)
	}
	o.want = pick{compile("run", *run), compile("rows", *rows), compile("cols", *cols)}
	if !*list {
		fmt.Printf("%s, %d CPUs, GOMAXPROCS %d, %s %s/%s; %d rounds of %v\n\n",
			cpuModel(), runtime.NumCPU(), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH, o.rounds, o.each)
	}
	switch err := o.answer(*list); {
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(os.Stderr, "tables: interrupted")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "tables:", err)
		os.Exit(1)
	}
}

// usage is what -h prints.
func usage() {
	fmt.Fprint(flag.CommandLine.Output(), `Tables measures how fast logbuf and its peers do the same job: a table for each question.

	go run ./tables                                   all questions, 5 rounds: some minutes
	go run ./tables -list                             the questions
	go run ./tables -run one-                         those whose names have "one-" in them
	go run ./tables -run many -rows 'MPSC|channel'    some rows of one
	go run ./tables -rounds 11 -svg ../docs/bench     what BENCHMARKS.md shows: on an idle machine

Flags:
`)
	flag.PrintDefaults()
}

var errInterrupted = errors.New("interrupted")

// progress says on a terminal what is being measured; "" wipes it away.
func (o *options) progress(what string) {
	if o.show {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", what)
	}
}

func isTerminal(f *os.File) bool {
	s, err := f.Stat()
	return err == nil && s.Mode()&os.ModeCharDevice != 0
}

// compile is the pattern of a flag. It ends the program if there is a mistake in it.
func compile(name, pattern string) *regexp.Regexp {
	re, err := regexp.Compile(pattern)
	if err != nil {
		fmt.Fprintf(os.Stderr, "tables: -%s: %v\n", name, err)
		os.Exit(64)
	}
	return re
}

// answer answers the questions that are wanted, or lists them.
func (o *options) answer(list bool) error {
	defer func() {
		for _, f := range o.atEnd {
			f()
		}
	}()
	for _, q := range questions(o) {
		q.narrow(o.want)
		switch {
		case len(q.rows) == 0:
		case list:
			fmt.Printf("%-14s %s\n", q.name, q.title)
		default:
			if err := q.answer(o); err != nil {
				o.progress("")
				return fmt.Errorf("%s: %w", q.name, err)
			}
		}
	}
	return nil
}

// options are the same for all questions.
type options struct {
	stop    context.Context // done: end soon
	want    pick
	rounds  int
	each    time.Duration
	plots   string
	dir     string
	show    bool     // progress
	records int      // of the archives that are read
	atEnd   []func() // what the questions want done when the program ends
}

// questions are what the tables answer, in the order they are printed.
func questions(o *options) []*question {
	var qs []*question
	qs = append(qs, oneToOne()...)
	qs = append(qs, alone(), latency())
	qs = append(qs, manyToOne()...)
	qs = append(qs, channels()...)
	qs = append(qs, toFile(o)...)
	qs = append(qs, back(o)...)
	qs = append(qs, logging(o)...)
	return append(qs, disturbed(o))
}

// cpuModel is what the system calls its processor.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"
)

func main() {
	o := options{seekIn: 1 << 20}
	run := flag.String("run", "", "only the questions whose names match this `regexp`")
	rows := flag.String("rows", "", "only the rows whose names match this `regexp`")
	cols := flag.String("cols", "", "only the columns whose names match this `regexp`")
	list := flag.Bool("list", false, "print the questions and end")
	flag.IntVar(&o.rounds, "rounds", 5, "runs of each cell; rows take turns, cells show the median and the extremes")
	flag.DurationVar(&o.each, "each", 200*time.Millisecond, "how long one run of a cell is meant to take")
	flag.StringVar(&o.plots, "svg", "", "write a plot of each table into this `directory`")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "`directory` for archives: the disk that is measured")
	flag.Parse()
	o.want = pick{compile("run", *run), compile("rows", *rows), compile("cols", *cols)}
	if !*list {
		fmt.Printf("%s, %d CPUs, GOMAXPROCS %d, %s %s/%s; %d rounds of %v\n\n",
			cpuModel(), runtime.NumCPU(), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH, o.rounds, o.each)
	}
	if err := o.answer(*list); err != nil {
		fmt.Fprintln(os.Stderr, "tables:", err)
		os.Exit(1)
	}
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
				return fmt.Errorf("%s: %w", q.name, err)
			}
		}
	}
	return nil
}

// options are the same for all questions.
type options struct {
	want   pick
	rounds int
	each   time.Duration
	plots  string
	dir    string
	seekIn int      // records of the archives in which one is looked for
	atEnd  []func() // what the questions want done when the program ends
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

package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// question is one table. Its cells are measured in turns: each round runs every
// row once, so that what the machine does meanwhile hits all of them alike.
type question struct {
	name, title string
	note        string   // what a reader must know, printed under the title
	unit        string   // of the numbers in the cells
	cols        []string // payloads, as a rule
	rows        []row
	quantiles   bool // cells are distributions: a line for each, with quantiles
}

// row is one way to do the job.
type row struct {
	name string
	// run does it n times, in column col, and returns what it took.
	run func(col, n int) (result, error)
	// only is the columns that make sense; nil: all.
	only []int
}

// result is one run of a cell.
type result struct {
	n      int           // how often the job was done
	took   time.Duration // for all of them
	allocs float64       // for each
	lost   int           // of n: offered and not delivered
	hist   *hdrhistogram.Histogram
}

func (r result) each() float64 { return float64(r.took) / float64(max(r.n-r.lost, 1)) }

// cell gathers the runs of a row in a column.
type cell struct {
	n    int
	runs []result
}

// timed runs job, which does something n times, and counts its allocations.
func timed(n int, job func()) result {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	job()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return result{n: n, took: took, allocs: float64(after.Mallocs-before.Mallocs) / float64(n)}
}

// newHist takes latencies up to 10 s, in nanoseconds, with three digits.
func newHist() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(10*time.Second), 3) }

// pick is what is wanted: the names that match.
type pick struct{ questions, rows, cols *regexp.Regexp }

// narrow takes away the rows that are not wanted. Columns stay, empty, because
// rows know them by number.
func (q *question) narrow(want pick) {
	var rows []row
	for _, r := range q.rows {
		var cols []int
		for col, name := range q.cols {
			if want.cols.MatchString(name) && (r.only == nil || slices.Contains(r.only, col)) {
				cols = append(cols, col)
			}
		}
		if r.only = cols; cols != nil && want.rows.MatchString(r.name) && want.questions.MatchString(q.name) {
			rows = append(rows, r)
		}
	}
	q.rows = rows
}

// answer measures, and prints the table.
func (q *question) answer(o *options) error {
	cells := make([][]cell, len(q.rows))
	for i := range q.rows {
		cells[i] = make([]cell, len(q.cols))
	}
	for col := range q.cols {
		for i, r := range q.rows {
			n, err := calibrate(r, col, o.each)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", r.name, q.cols[col], err)
			}
			cells[i][col].n = n
		}
		for range o.rounds {
			for i, r := range q.rows {
				c := &cells[i][col]
				if c.n == 0 {
					continue
				}
				res, err := r.run(col, c.n)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", r.name, q.cols[col], err)
				}
				c.runs = append(c.runs, res)
			}
		}
	}
	q.print(cells, o.rounds)
	if o.plots != "" {
		return q.plot(cells, o.plots)
	}
	return nil
}

// calibrate finds how often a row's job is to be done for a run to take about d.
// 0 says that the column makes no sense for the row.
func calibrate(r row, col int, d time.Duration) (n int, err error) {
	if r.only != nil && !slices.Contains(r.only, col) {
		return 0, nil
	}
	for n = 256; ; n *= 4 {
		res, err := r.run(col, n)
		if err != nil {
			return 0, err
		}
		if res.took > d/8 || n > 1<<30 {
			return max(int(float64(n)*float64(d)/float64(res.took)), 16), nil
		}
	}
}

func (q *question) print(cells [][]cell, rounds int) {
	fmt.Printf("## %s (%s)\n\n", q.title, q.name)
	if q.note != "" {
		fmt.Printf("%s\n\n", q.note)
	}
	if q.quantiles {
		q.printQuantiles(cells)
	} else {
		q.printMeans(cells, rounds)
	}
	fmt.Println()
	_ = os.Stdout.Sync() // a pipe cannot; it need not
}

func (q *question) printMeans(cells [][]cell, rounds int) {
	fmt.Printf("| %s, median (least–most) of %d | %s | allocs |\n|---|%s\n", q.unit, rounds, strings.Join(q.cols, " | "),
		strings.Repeat("---|", len(q.cols)+1))
	for i, r := range q.rows {
		allocs, line := 0.0, []string{r.name}
		for col := range q.cols {
			c := cells[i][col]
			line = append(line, c.mean())
			for _, run := range c.runs {
				allocs = max(allocs, run.allocs)
			}
		}
		fmt.Printf("| %s | %s |\n", strings.Join(line, " | "), number(float64(int(allocs*100+0.5))/100))
	}
}

func (c cell) mean() string {
	if len(c.runs) == 0 {
		return "–"
	}
	v, lost, n := c.sorted(), 0, 0
	for _, r := range c.runs {
		lost, n = lost+r.lost, n+r.n
	}
	s := fmt.Sprintf("%s (%s–%s)", number(v[len(v)/2]), number(v[0]), number(v[len(v)-1]))
	if lost > 0 {
		s += fmt.Sprintf(", %.0f %% lost", 100*float64(lost)/float64(n))
	}
	return s
}

func (c cell) sorted() []float64 {
	var v []float64
	for _, r := range c.runs {
		v = append(v, r.each())
	}
	slices.Sort(v)
	return v
}

func (q *question) printQuantiles(cells [][]cell) {
	fmt.Printf("| %s | | 50 %% | 99 %% | 99.9 %% | most | allocs | arrived |\n|---|---|---|---|---|---|---|---|\n", q.unit)
	for i, r := range q.rows {
		for col, name := range q.cols {
			c := cells[i][col]
			if len(c.runs) == 0 {
				continue
			}
			h, allocs := c.hist()
			fmt.Printf("| %s | %s | %d | %d | %d | %d | %s | %s |\n", r.name, name, h.ValueAtQuantile(50), h.ValueAtQuantile(99),
				h.ValueAtQuantile(99.9), h.Max(), number(float64(int(allocs*100+0.5))/100), c.arrived())
		}
	}
}

// arrived says how many of the offered were delivered.
func (c cell) arrived() string {
	n, lost := 0, 0
	for _, r := range c.runs {
		n, lost = n+r.n, lost+r.lost
	}
	if lost == 0 {
		return fmt.Sprintf("all %d", n)
	}
	return fmt.Sprintf("%d of %d", n-lost, n)
}

// hist is all runs of the cell together.
func (c cell) hist() (h *hdrhistogram.Histogram, allocs float64) {
	h = newHist()
	for _, r := range c.runs {
		h.Merge(r.hist)
		allocs = max(allocs, r.allocs)
	}
	return h, allocs
}

// number prints three digits, or all before the point.
func number(v float64) string {
	switch {
	case v == float64(int(v)) || v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

package main

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
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
	quantiles   bool    // cells are distributions: a line for each, with quantiles
	plotted     float64 // the quantile that the plot shows, in per cent; 0: 99
	trimmed     bool    // print and plot the mean of the lower 99 % as well
	ordered     int     // so many columns stand in an order: their points are joined
	cpu         bool    // results have cpu: printed behind the times
	longer      int     // how many times longer than others a run is meant to be; 0: 1
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
	cpu    time.Duration // what all processors together worked, where the question asks for it
	allocs float64       // for each
	lost   int           // of n: offered and not delivered
	alone  bool          // the other side had no processor of its own: no measurement
	hist   *hdrhistogram.Histogram
}

func (r result) each() float64    { return float64(r.took) / float64(max(r.n-r.lost, 1)) }
func (r result) cpuEach() float64 { return float64(r.cpu) / float64(max(r.n-r.lost, 1)) }

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
		if err := q.measure(col, cells, o); err != nil {
			return err
		}
	}
	o.progress("")
	q.print(cells, o.rounds)
	if o.plots != "" {
		return q.plot(cells, o.plots)
	}
	return nil
}

// measure fills a column.
func (q *question) measure(col int, cells [][]cell, o *options) error {
	for i, r := range q.rows {
		if o.stop.Err() != nil {
			return errInterrupted
		}
		o.progress(fmt.Sprintf("%s, %s: how fast is %s?", q.name, q.cols[col], r.name))
		n, err := calibrate(r, col, o.each*time.Duration(max(q.longer, 1)))
		if err != nil {
			return fmt.Errorf("%s, %s: %w", r.name, q.cols[col], err)
		}
		cells[i][col].n = n
	}
	for round := range o.rounds {
		for i, r := range q.rows {
			c := &cells[i][col]
			if c.n == 0 {
				continue
			}
			if o.stop.Err() != nil {
				return errInterrupted
			}
			o.progress(fmt.Sprintf("%s, %s: round %d of %d, %s", q.name, q.cols[col], round+1, o.rounds, r.name))
			res, err := r.run(col, c.n)
			for again := 0; again < 3 && err == nil && res.alone && c.n > 1000; again++ {
				res, err = r.run(col, c.n)
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w", r.name, q.cols[col], err)
			}
			c.runs = append(c.runs, res)
		}
	}
	return nil
}

// calibrate finds how often a row's job is to be done for a run to take about d.
// 0 says that the column makes no sense for the row.
func calibrate(r row, col int, d time.Duration) (n int, err error) {
	if r.only != nil && !slices.Contains(r.only, col) {
		return 0, nil
	}
	for n = 16; ; n *= 4 {
		res, err := r.run(col, n)
		if err != nil {
			return 0, err
		}
		if res.took <= d/8 && n <= 1<<30 {
			continue
		}
		took := res.took
		if d >= time.Millisecond { // the system may have stopped the first one, with n small
			again, err := r.run(col, n)
			if err != nil {
				return 0, err
			}
			took = min(took, again.took)
		}
		if took > d/8 || n > 1<<30 {
			return max(int(float64(n)*float64(d)/float64(took)), 16), nil
		}
	}
}

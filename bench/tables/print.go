package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

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
	cols := q.cols
	if q.cpu {
		for _, name := range q.cols {
			cols = append(cols, name+", CPU")
		}
	}
	fmt.Printf("| %s, median (least–most) of %d | %s | allocs |\n|---|%s\n", q.unit, rounds, strings.Join(cols, " | "),
		strings.Repeat("---|", len(cols)+1))
	for i, r := range q.rows {
		allocs, line := 0.0, []string{r.name}
		for col := range q.cols {
			c := cells[i][col]
			line = append(line, c.mean(result.each))
			for _, run := range c.runs {
				allocs = max(allocs, run.allocs)
			}
		}
		if q.cpu {
			for col := range q.cols {
				line = append(line, cells[i][col].mean(result.cpuEach))
			}
		}
		fmt.Printf("| %s | %s |\n", strings.Join(line, " | "), number(float64(int(allocs*100+0.5))/100))
	}
}

func (c cell) mean(of func(result) float64) string {
	if len(c.runs) == 0 {
		return "–"
	}
	v, lost, n := c.sorted(of), 0, 0
	for _, r := range c.runs {
		lost, n = lost+r.lost, n+r.n
	}
	s := fmt.Sprintf("%s (%s–%s)", number(v[len(v)/2]), number(v[0]), number(v[len(v)-1]))
	if lost > 0 {
		s += fmt.Sprintf(", %.0f %% lost", 100*float64(lost)/float64(n))
	}
	return s
}

func (c cell) sorted(of func(result) float64) []float64 {
	var v []float64
	for _, r := range c.runs {
		v = append(v, of(r))
	}
	slices.Sort(v)
	return v
}

func (q *question) printQuantiles(cells [][]cell) {
	heads := []string{q.unit, "", "50 %", "99 %", "99.9 %", "most", "allocs", "arrived"}
	if q.trimmed {
		heads = slices.Insert(heads, 2, "mean of the lower 99 %")
	}
	fmt.Printf("| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat("---|", len(heads)))
	for i, r := range q.rows {
		for col, name := range q.cols {
			c := cells[i][col]
			if len(c.runs) == 0 {
				continue
			}
			h, allocs := c.hist()
			fmt.Printf("| %s | %s | ", r.name, name)
			if q.trimmed {
				fmt.Printf("%.1f | ", lowerMean(h))
			}
			fmt.Printf("%d | %d | %d | %d | %s | %s |\n", h.ValueAtQuantile(50), h.ValueAtQuantile(99),
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

// lowerMean is the mean of the lower 99 %. It says more than the median where
// the timer's steps are as long as what is timed: how often a call takes one step
// more tells how long it is.
func lowerMean(h *hdrhistogram.Histogram) float64 {
	left := h.TotalCount() - h.TotalCount()/100
	sum, n := 0.0, left
	for _, bar := range h.Distribution() {
		k := min(bar.Count, left)
		sum, left = sum+float64(k)*float64(bar.From+bar.To)/2, left-k
	}
	return sum / float64(max(n, 1))
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

package main

import (
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// plot draws the table, a line for each row: medians, or 99th percentiles, on a
// logarithmic axis.
func (q *question) plot(cells [][]cell, dir string) error {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = q.title, q.unit
	if q.quantiles {
		p.Y.Label.Text += ", 99 %"
	}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	for i, r := range q.rows {
		var xy plotter.XYs
		for col := range q.cols {
			if len(cells[i][col].runs) > 0 {
				xy = append(xy, plotter.XY{X: float64(col), Y: max(cells[i][col].middle(q.quantiles), 0.1)})
			}
		}
		line, points, err := plotter.NewLinePoints(xy)
		if err != nil {
			return err
		}
		line.Color, points.Color, points.Shape = plotutil.Color(i), plotutil.Color(i), plotutil.Shape(i)
		p.Add(line, points)
		p.Legend.Add(r.name, line, points)
	}
	p.NominalX(q.cols...)
	p.X.Min, p.X.Max = -0.3, float64(len(q.cols))-0.7
	p.Y.Max *= 10 // room for the legend
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return p.Save(vg.Points(720), vg.Points(440), filepath.Join(dir, q.name+".svg"))
}

// middle is the median, or the 99th percentile.
func (c cell) middle(quantiles bool) float64 {
	if quantiles {
		h, _ := c.hist()
		return float64(h.ValueAtQuantile(99))
	}
	v := c.sorted()
	return v[len(v)/2]
}

package main

import (
	"image/color"
	"os"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const plotWidth, plotHeight, legendWidth = 760, 400, 230 // points

// plot draws the table: a line for each row on a logarithmic axis; bars, if there
// is one column only.
func (q *question) plot(cells [][]cell, dir string) error {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text, p.Title.TextStyle.Font.Size, p.Title.Padding = q.title, 13, 8
	axis := q.unit
	switch {
	case q.trimmed:
		axis += ", mean of the lower 99 %"
	case q.quantiles:
		axis += ", " + strconv.FormatFloat(q.quantile(), 'f', -1, 64) + " %"
	default:
		axis += ", median"
	}
	draw := q.drawLines
	if len(q.cols) == 1 {
		draw = q.drawBars
	}
	legend, err := draw(p, axis, cells)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return save(p, legend, filepath.Join(dir, q.name+".svg"))
}

// colors are as many as there are rows of ours in one table; what comes behind
// them, the peers as a rule, is dashed.
var colors = []color.RGBA{
	{27, 158, 119, 255}, {217, 95, 2, 255}, {117, 112, 179, 255}, {231, 41, 138, 255},
	{102, 166, 30, 255}, {230, 171, 2, 255}, {166, 118, 29, 255}, {102, 102, 102, 255},
}

func (q *question) drawLines(p *plot.Plot, axis string, cells [][]cell) (*plot.Legend, error) {
	p.Y.Label.Text = axis
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, logTicks{}
	p.Add(plotter.NewGrid())
	legend := plot.NewLegend()
	legend.Top, legend.Left, legend.TextStyle.Font.Size, legend.Padding = true, true, 10, 4
	for i, r := range q.rows {
		var xy plotter.XYs
		joined := 0
		for col := range q.cols {
			if len(cells[i][col].runs) > 0 {
				x := float64(col)
				if col >= q.ordered { // side by side
					x += 0.5 * (float64(i)/float64(len(q.rows)) - 0.5)
				} else {
					joined = len(xy) + 1
				}
				xy = append(xy, plotter.XY{X: x, Y: max(q.middle(cells[i][col]), 0.1)})
			}
		}
		_, points, err := plotter.NewLinePoints(xy)
		if err != nil {
			return nil, err
		}
		line, _, err := plotter.NewLinePoints(append(xy[:joined:joined], xy[0])[:max(joined, 1)])
		if err != nil {
			return nil, err
		}
		line.Color, points.Color, points.Shape = colors[i%len(colors)], colors[i%len(colors)], plotutil.Shape(i)
		line.Dashes, line.Width = plotutil.Dashes(i/len(colors)), 1.2
		p.Add(line, points)
		if q.ordered > 0 {
			legend.Add(r.name, line, points)
		} else {
			legend.Add(r.name, points)
		}
	}
	p.NominalX(q.cols...)
	p.X.Min, p.X.Max = -0.4, float64(len(q.cols))-0.6
	p.Y.Min, p.Y.Max = p.Y.Min/1.15, p.Y.Max*1.15
	if len(q.cols) > 6 { // long names
		p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = 0.3, draw.XRight, draw.YTop
	}
	return &legend, nil
}

func (q *question) drawBars(p *plot.Plot, axis string, cells [][]cell) (*plot.Legend, error) {
	p.X.Label.Text, p.X.Min, p.Y.Padding = axis, 0, 8
	var names []string
	var values plotter.Values
	for i := len(q.rows) - 1; i >= 0; i-- { // the first row on top
		if len(cells[i][0].runs) > 0 {
			names, values = append(names, q.rows[i].name+"  "), append(values, q.middle(cells[i][0]))
		}
	}
	bars, err := plotter.NewBarChart(values, 18)
	if err != nil {
		return nil, err
	}
	bars.Horizontal, bars.Color, bars.LineStyle.Width = true, colors[0], 0
	grid := plotter.NewGrid()
	grid.Horizontal.Color = nil
	p.Add(grid, bars)
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.6, float64(len(names))-0.4
	return nil, nil
}

// save draws the legend at the right of the plot, where no line can be.
func save(p *plot.Plot, legend *plot.Legend, name string) error {
	svg := vgsvg.New(plotWidth, plotHeight)
	whole := draw.New(svg)
	area := draw.Crop(whole, 4, -16, 4, -4)
	if legend != nil {
		area = draw.Crop(whole, 4, -legendWidth, 4, -4)
		legend.Draw(draw.Crop(whole, plotWidth-legendWidth+12, 0, 0, -32))
	}
	p.Draw(area)
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = svg.WriteTo(f)
	return first(err, f.Close())
}

// logTicks are the powers of ten, and twice and five times them, as whole
// numbers.
type logTicks struct{}

func (logTicks) Ticks(low, high float64) (ticks []plot.Tick) {
	for decade := 0.1; decade <= high; decade *= 10 {
		for step := 1; step < 10; step++ {
			v := decade * float64(step)
			t := plot.Tick{Value: v}
			if step == 1 || step == 2 || step == 5 {
				t.Label = strconv.FormatFloat(v, 'f', -1, 32)
			}
			if v >= low && v <= high {
				ticks = append(ticks, t)
			}
		}
	}
	return ticks
}

// quantile is the one that the plot shows, in per cent.
func (q *question) quantile() float64 {
	if q.plotted > 0 {
		return q.plotted
	}
	return 99
}

// middle is what the plot shows of a cell.
func (q *question) middle(c cell) float64 {
	switch {
	case q.trimmed:
		h, _ := c.hist()
		return lowerMean(h)
	case q.quantiles:
		h, _ := c.hist()
		return float64(h.ValueAtQuantile(q.quantile()))
	}
	v := c.sorted(result.each)
	return v[len(v)/2]
}

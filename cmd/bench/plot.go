//go:build linux

package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// plot is one picture: bars or lines.
type plot struct {
	Name  string    `json:"name"` // of the file, without language and ending
	Title text      `json:"title"`
	Bars  *barPlot  `json:"bars,omitempty"`
	Lines *linePlot `json:"lines,omitempty"`
}

// barPlot has a group of horizontal bars for each thing compared, one bar for
// each series.
type barPlot struct {
	Unit   string     `json:"unit"`
	Series []text     `json:"series"`
	Groups []barGroup `json:"groups"`
}

type barGroup struct {
	Name   text      `json:"name"`
	Own    bool      `json:"own,omitempty"` // Sentinel itself, which is set off
	Values []float64 `json:"values"`        // one for each series
}

// linePlot has both axes logarithmic, so that all numbers are above 0.
type linePlot struct {
	X      text         `json:"x"`
	Y      text         `json:"y"`
	Series []lineSeries `json:"series"`
}

type lineSeries struct {
	Name   text         `json:"name"`
	Points [][2]float64 `json:"points"` // x ascending
}

func (p plot) file(lang string) string {
	if lang == langZh {
		return p.Name + "-zh.svg"
	}
	return p.Name + ".svg"
}

// Sizes in the units of the picture.
const (
	plotWidth  = 760
	plotLeft   = 190
	plotRight  = 90
	plotTop    = 64
	plotFoot   = 16
	barHeight  = 15
	barGap     = 3
	groupGap   = 14
	linesLeft  = 78
	linesRight = 200
	linesHigh  = 300
	linesFoot  = 48
)

// plotStyle follows the reader's scheme. The picture has a ground of its own, so
// that it can be read where the page around it does not follow.
const plotStyle = `<style>
text{font:13px system-ui,-apple-system,"Segoe UI","Noto Sans",sans-serif;fill:#1f2328}
.title{font-size:15px;font-weight:600}.own{font-weight:700}.small{font-size:12px;fill:#59636e}.end{text-anchor:end}.mid{text-anchor:middle}
.ground{fill:#fff}.grid{stroke:#d1d9e0;stroke-width:1}polyline{fill:none;stroke-width:2}
.f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.f3{fill:#8250df}.s0{stroke:#0969da}.s1{stroke:#bc4c00}.s2{stroke:#1a7f37}.s3{stroke:#8250df}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.ground{fill:#0d1117}.grid{stroke:#3d444d}
.f0{fill:#4493f8}.f1{fill:#f0883e}.f2{fill:#3fb950}.f3{fill:#ab7df8}.s0{stroke:#4493f8}.s1{stroke:#f0883e}.s2{stroke:#3fb950}.s3{stroke:#ab7df8}}
</style>
`

const plotColours = 4

// canvas gathers the parts of a picture.
type canvas struct{ strings.Builder }

func (c *canvas) put(format string, args ...any) { fmt.Fprintf(&c.Builder, format+"\n", args...) }

func (c *canvas) text(class string, x, y float64, s string) {
	c.put(`<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x, y, html.EscapeString(s))
}

func (c *canvas) gridLine(x1, y1, x2, y2 float64) {
	c.put(`<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x1, y1, x2, y2)
}

func (c *canvas) box(class string, x, y, width, height float64) {
	c.put(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"/>`, class, x, y, width, height)
}

// svg returns the picture.
func (p plot) svg(lang string) string {
	var c canvas
	height := 0.0
	switch {
	case p.Bars != nil:
		height = p.Bars.draw(&c, lang)
	case p.Lines != nil:
		height = p.Lines.draw(&c, lang)
	}
	title := html.EscapeString(p.Title.in(lang))
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" width="%d" height="%.0f" role="img" aria-label="%s">`+"\n",
		plotWidth, height, plotWidth, height, title) +
		plotStyle + fmt.Sprintf(`<rect class="ground" width="%d" height="%.0f" rx="6"/>`+"\n", plotWidth, height) +
		fmt.Sprintf(`<text class="title" x="16" y="26">%s</text>`+"\n", title) + c.String() + "</svg>\n"
}

// draw returns the height of the picture.
func (p *barPlot) draw(c *canvas, lang string) float64 {
	x := 16.0
	for i, s := range p.Series {
		c.box(fmt.Sprintf("f%d", i%plotColours), x, 40, 11, 11)
		c.text("small", x+17, 50, s.in(lang))
		x += 100
	}
	most := 0.0
	for _, g := range p.Groups {
		most = max(most, slices.Max(g.Values))
	}
	y := float64(plotTop)
	for _, g := range p.Groups {
		class := "end"
		if g.Own {
			class = "end own"
		}
		middle := y + float64(len(g.Values)*(barHeight+barGap))/2
		c.text(class, plotLeft-12, middle+3, g.Name.in(lang))
		for i, v := range g.Values {
			width := math.Max(1, v/math.Max(most, 1e-9)*(plotWidth-plotLeft-plotRight))
			c.box(fmt.Sprintf("f%d", i%plotColours), plotLeft, y, width, barHeight)
			c.text("small", plotLeft+width+6, y+barHeight-3, withUnit("", v, p.Unit))
			y += barHeight + barGap
		}
		y += groupGap
	}
	return y + plotFoot - groupGap
}

// scale maps a logarithmic axis, which is widened to whole powers of ten, to the
// picture.
type scale struct {
	low, high float64 // powers of ten
	from, to  float64 // of the picture
}

func newScale(values []float64, from, to float64) scale {
	low, high := math.Floor(math.Log10(slices.Min(values))), math.Ceil(math.Log10(slices.Max(values)))
	return scale{low, max(high, low+1), from, to}
}

func (s scale) at(v float64) float64 {
	return s.from + (math.Log10(v)-s.low)/(s.high-s.low)*(s.to-s.from)
}

// draw returns the height of the picture.
func (p *linePlot) draw(c *canvas, lang string) float64 {
	var xs, ys []float64
	for _, s := range p.Series {
		for _, point := range s.Points {
			xs, ys = append(xs, point[0]), append(ys, point[1])
		}
	}
	if len(xs) == 0 {
		return plotTop
	}
	bottom := float64(plotTop + linesHigh)
	x := newScale(xs, linesLeft, plotWidth-linesRight)
	y := newScale(ys, bottom, plotTop)
	for e := y.low; e <= y.high; e++ {
		at := y.at(math.Pow(10, e))
		c.gridLine(linesLeft, at, plotWidth-linesRight, at)
		c.text("small end", linesLeft-8, at+4, number(math.Pow(10, e)))
	}
	for e := x.low; e <= x.high; e++ {
		at := x.at(math.Pow(10, e))
		c.gridLine(at, plotTop, at, bottom)
		c.text("small mid", at, bottom+18, number(math.Pow(10, e)))
	}
	c.text("small", 16, 48, p.Y.in(lang))
	c.text("small mid", (linesLeft+plotWidth-linesRight)/2.0, bottom+38, p.X.in(lang))
	p.drawSeries(c, lang, x, y)
	return bottom + linesFoot
}

// labelGap is how far the names of two lines are apart at least.
const labelGap = 17

func (p *linePlot) drawSeries(c *canvas, lang string, x, y scale) {
	order := make([]int, 0, len(p.Series))
	for i, s := range p.Series {
		if len(s.Points) > 0 {
			order = append(order, i)
		}
	}
	end := func(i int) float64 { s := p.Series[i]; return y.at(s.Points[len(s.Points)-1][1]) }
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, end(a)-end(b))) })
	free := math.Inf(-1)
	for _, i := range order {
		s := p.Series[i]
		var path strings.Builder
		for _, point := range s.Points {
			fmt.Fprintf(&path, "%.1f,%.1f ", x.at(point[0]), y.at(point[1]))
		}
		c.put(`<polyline class="s%d" points="%s"/>`, i%plotColours, strings.TrimSpace(path.String()))
		for _, point := range s.Points {
			c.put(`<circle class="f%d" cx="%.1f" cy="%.1f" r="3.5"/>`, i%plotColours, x.at(point[0]), y.at(point[1]))
		}
		at := math.Max(end(i), free)
		free = at + labelGap
		c.text(fmt.Sprintf("f%d", i%plotColours), plotWidth-linesRight+12, at+4, s.Name.in(lang))
	}
}

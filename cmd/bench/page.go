//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// section is what one measurement has found, and when and where.
type section struct {
	Name    string    `json:"name"`
	Date    time.Time `json:"date"`
	Machine machine   `json:"machine"`
	Stolen  float64   `json:"stolen,omitempty"` // of the processors' time, as processors.stolenSince has it
	Outcome outcome   `json:"outcome"`
}

// muchStolen is what has to be told of a measurement.
const muchStolen = 0.01

// report is what the pages are made of: of each measurement the last results.
type report struct {
	Sections []section `json:"sections"`
}

// book is where a report is kept: beside the English page with the ending json.
// The Chinese page has the same name in the directory zh, and the pictures are in
// the directory images.
type book struct{ page string }

func (b book) kept() string { return strings.TrimSuffix(b.page, filepath.Ext(b.page)) + ".json" }

// read returns what is kept; nothing if there is no such file.
func (b book) read() (report, error) {
	content, err := os.ReadFile(b.kept())
	if errors.Is(err, os.ErrNotExist) {
		return report{}, nil
	}
	var r report
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err != nil {
		return report{}, fmt.Errorf("read the kept results: %w", err)
	}
	return r, nil
}

// add keeps new results in place of the older ones of the same measurements, and
// writes the pages.
func (b book) add(sections []section) error {
	r, err := b.read()
	if err != nil {
		return err
	}
	for _, s := range sections {
		r.Sections = slices.DeleteFunc(r.Sections, func(old section) bool { return old.Name == s.Name })
		r.Sections = append(r.Sections, s)
	}
	slices.SortFunc(r.Sections, func(a, b section) int { return strings.Compare(a.Name, b.Name) })
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("keep the results: %w", err)
	}
	return errors.Join(writeFile(b.kept(), string(content)+"\n"), b.write(r))
}

// write writes the pages and the pictures.
func (b book) write(r report) error {
	dir := filepath.Dir(b.page)
	var errs []error
	for _, lang := range []string{langEn, langZh} {
		page := b.page
		if lang == langZh {
			page = filepath.Join(dir, langZh, filepath.Base(b.page))
		}
		errs = append(errs, writeFile(page, r.page(lang)))
		for _, s := range r.Sections {
			for _, p := range s.Outcome.Plots {
				errs = append(errs, writeFile(filepath.Join(dir, "images", p.file(lang)), p.svg(lang)))
			}
		}
	}
	return errors.Join(errs...)
}

func writeFile(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644) // #nosec G306 -- documentation is for everybody
}

var (
	pageTitle = text{"# Benchmarks", "# 性能测试"}
	pageIntro = text{
		"The binary is measured as a process of its own, with its default settings unless a section says otherwise: it enforces, counts, " +
			"keeps usage and records refusals. The clients and the downstream run on the same machine and take their share of its cores, " +
			"so throughput here is a lower bound. CPU time is that of the measured processes alone (utime and stime, with those of their " +
			"children). Where proxies are compared, they take turns, three rounds of them, and the figures are medians of the rounds; " +
			"compare figures of one run with each other rather than with those of another machine or day.",
		"被测对象是独立运行的二进制进程；除非某节另有说明，均使用默认设置：执行绑定、计数、记录用量和拒绝。客户端和下游与它在同一台机器上运行并占用同样的核心，" +
			"因此这里的吞吐量是下限。CPU 时间只计被测进程自身（utime 与 stime，含其子进程）。比较多个代理时，它们轮流接受测试，共三轮，数值为各轮的中位数；" +
			"请只比较同一次运行中的数值，不要与其他机器或其他日期的结果比较。",
	}
	pageCommand = text{
		"Run it yourself, in some twenty minutes; the growth to 10,000,000 bindings is measured apart, in an hour at most, and so are several nodes, in six minutes:",
		"自行运行（约二十分钟）；增长到 10,000,000 条绑定的测试单独运行（最多一小时），多节点的测试也单独运行（六分钟）：",
	}
	pageMachine   = text{"## Machine", "## 机器"}
	pageDate      = text{"Date", "日期"}
	pageHead      = text{"| measurement | figure | target | verdict |", "| 测量项 | 数值 | 目标 | 结论 |"}
	pageElsewhere = text{"*Measured on %s on another machine: %s.*", "*于 %s 在另一台机器上测得：%s。*"}
	pageApart     = text{"*Measured on %s.*", "*于 %s 测得。*"}
	pageStolen    = text{
		"*Meanwhile the host gave %.0f %% of the processor time that the machine wanted to others. That lengthens latencies, p99 most of all, by chance.*",
		"*其间宿主机把这台机器所需处理器时间的 %.0f%% 给了别人。这会随机拉长延迟，p99 尤甚。*",
	}
)

// main returns the section that was measured last on the machine that most were measured
// on; r has one.
func (r report) main() section {
	on := make(map[machine]int)
	for _, s := range r.Sections {
		on[s.Machine]++
	}
	return slices.MaxFunc(r.Sections, func(a, b section) int {
		return cmp.Or(cmp.Compare(on[a.Machine], on[b.Machine]), a.Date.Compare(b.Date))
	})
}

func (r report) page(lang string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("<!-- Written by make bench; edit cmd/bench instead. -->")
	line("%s\n\n%s\n", pageTitle.in(lang), pageIntro.in(lang))
	line("%s\n\n```\nmake bench\nmake bench-growth\nmake bench-cluster\n```", pageCommand.in(lang))
	if len(r.Sections) == 0 {
		return b.String()
	}
	shown := r.main()
	line("\n%s\n\n| | |\n| --- | --- |", pageMachine.in(lang))
	line("| %s | %s |", pageDate.in(lang), day(shown.Date))
	for _, l := range shown.Machine.lines() {
		line("| %s | %s |", l.name.in(lang), l.value)
	}
	for _, m := range measurements() {
		i := slices.IndexFunc(r.Sections, func(s section) bool { return s.Name == m.name })
		if i < 0 {
			continue
		}
		s := r.Sections[i]
		line("\n## %s\n\n%s", m.title.in(lang), m.how.in(lang))
		switch {
		case s.Machine != shown.Machine:
			line("\n"+pageElsewhere.in(lang), day(s.Date), s.Machine)
		case day(s.Date) != day(shown.Date):
			line("\n"+pageApart.in(lang), day(s.Date))
		}
		if s.Stolen >= muchStolen {
			line("\n"+pageStolen.in(lang), s.Stolen*100)
		}
		b.WriteString(s.Outcome.markdown(lang))
	}
	return b.String()
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func (o outcome) markdown(lang string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, g := range o.Grids {
		line("")
		for _, c := range g.Columns {
			fmt.Fprintf(&b, "| %s ", c.in(lang))
		}
		line("|\n| --- %s|", strings.Repeat("| ---: ", len(g.Columns)-1))
		for _, r := range g.Rows {
			line("| %s | %s |", r.Name.in(lang), strings.Join(r.Cells, " | "))
		}
	}
	if len(o.Results) > 0 {
		line("\n%s\n| --- | ---: | ---: | --- |", pageHead.in(lang))
	}
	for _, r := range o.Results {
		line("| %s | %s | %s | %s |", r.Name.in(lang), withUnit("", r.Figure, r.Unit), r.targetText(), r.verdict().in(lang))
	}
	up := ""
	if lang == langZh {
		up = "../"
	}
	for _, p := range o.Plots {
		line("\n![%s](%simages/%s)", p.Title.in(lang), up, p.file(lang))
	}
	return b.String()
}

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// report is a whole run.
type report struct {
	date     time.Time
	machine  machine
	sections []section
}

// writePages writes the English page to path, and the Chinese one to the same
// name in the directory zh beside it.
func (r report) writePages(path string) error {
	zh := filepath.Join(filepath.Dir(path), langZh, filepath.Base(path))
	return errors.Join(writePage(path, r.page(langEn)), writePage(zh, r.page(langZh)))
}

func writePage(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644) // #nosec G306 -- documentation is for everybody
}

var (
	pageTitle = text{"# Benchmarks", "# 性能测试"}
	pageIntro = text{
		"The binary is measured as a process of its own, with its default settings unless a section says otherwise. The clients and the " +
			"downstream run on the same machine and take their share of its cores, so throughput here is a lower bound. CPU time " +
			"is that of the measured process alone.",
		"被测对象是独立运行的二进制进程；除非某节另有说明，均使用默认设置。客户端和下游与它在同一台机器上运行并占用同样的核心，" +
			"因此这里的吞吐量是下限。CPU 时间只计被测进程自身。",
	}
	pageCommand = text{"Run it yourself, in some six minutes:", "自行运行（约六分钟）："}
	pageMachine = text{"## Machine", "## 机器"}
	pageResults = text{"## Results", "## 结果"}
	pageHow     = text{"## How each was measured", "## 测量方法"}
	pageDate    = text{"Date", "日期"}
	pageHead    = text{"| measurement | figure | target | verdict |", "| 测量项 | 数值 | 目标 | 结论 |"}
)

func (r report) page(lang string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("<!-- Written by make bench; edit cmd/bench instead. -->")
	line("%s\n\n%s\n", pageTitle.in(lang), pageIntro.in(lang))
	line("%s\n\n```\nmake bench\n```\n", pageCommand.in(lang))
	line("%s\n\n| | |\n| --- | --- |", pageMachine.in(lang))
	line("| %s | %s |", pageDate.in(lang), r.date.Format(time.DateOnly))
	for _, l := range r.machine.lines() {
		line("| %s | %s |", l.name.in(lang), l.value)
	}
	line("\n%s\n\n%s\n| --- | ---: | ---: | --- |", pageResults.in(lang), pageHead.in(lang))
	for _, s := range r.sections {
		for _, res := range s.results {
			line("| %s | %s | %s | %s |", res.name.in(lang), withUnit("", res.figure, res.unit), res.targetText(), res.verdict().in(lang))
		}
	}
	line("\n%s", pageHow.in(lang))
	for _, s := range r.sections {
		line("\n### %s\n\n%s", s.measurement.title.in(lang), s.measurement.how.in(lang))
	}
	return b.String()
}

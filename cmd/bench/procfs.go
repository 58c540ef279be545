//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

// memory is what the kernel says of a process, in bytes.
type memory struct {
	rss  float64 // resident: anon, file and a little shared memory
	anon float64 // the process's own
	file float64 // pages of the binary and of mapped files, which the kernel may take back
	peak float64 // the highest rss since the last resetPeak
}

func readMemory(pid int) (memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	return parseStatus(string(b))
}

func parseStatus(status string) (memory, error) {
	var m memory
	fields := map[string]*float64{"VmRSS": &m.rss, "VmHWM": &m.peak, "RssAnon": &m.anon, "RssFile": &m.file}
	found := 0
	for lines := bufio.NewScanner(strings.NewReader(status)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		field, ok := fields[name]
		if !ok {
			continue
		}
		n, err := parseKilobytes(strings.TrimSpace(value))
		if err != nil {
			return memory{}, fmt.Errorf("%s: %w", name, err)
		}
		*field = float64(n)
		found++
	}
	if found != len(fields) {
		return memory{}, errors.New("status of a process without its memory")
	}
	return m, nil
}

// resetPeak makes the kernel forget the highest rss of a process; proc(5),
// clear_refs.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o600)
}

// clockTick is USER_HZ, the unit of times in /proc, which is 100 on every
// architecture that Go has.
const clockTick = 100

// readCPU returns the CPU seconds of a process and of its children.
func readCPU(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	seconds, err := parseStat(string(b))
	if err != nil {
		return 0, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, fmt.Errorf("the kernel does not tell of child processes: %w", err)
	}
	for word := range strings.FieldsSeq(string(children)) {
		child, err := strconv.Atoi(word)
		if err != nil {
			return 0, err
		}
		more, err := readCPU(child)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended since, as a server's for one connection does
		}
		if err != nil {
			return 0, err
		}
		seconds += more
	}
	return seconds, nil
}

// parseStat reads utime and stime; proc(5).
func parseStat(stat string) (float64, error) {
	// The name of the command, in brackets, may hold brackets and spaces itself.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("stat of a process without its times")
	}
	user, userErr := strconv.ParseUint(fields[11], 10, 64)
	system, systemErr := strconv.ParseUint(fields[12], 10, 64)
	return float64(user+system) / clockTick, errors.Join(userErr, systemErr)
}

const pollMemoryEvery = 50 * time.Millisecond

// course is the memory of a process over a while.
type course struct {
	memory            // the highest: the kernel's own peak, and the highest parts seen every 50 ms
	samples []float64 // resident sets, every 50 ms
}

// growth is how much higher the highest resident set of the second half is than that
// of the first, as a factor.
func (c course) growth() float64 {
	half := len(c.samples) / 2
	if half == 0 {
		return 1
	}
	return slices.Max(c.samples[half:]) / slices.Max(c.samples[:half])
}

// peakDuring runs do and returns the memory of the process meanwhile.
func peakDuring(ctx context.Context, pid int, do func(ctx context.Context) error) (course, error) {
	if err := resetPeak(pid); err != nil {
		return course{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	tick := time.NewTicker(pollMemoryEvery)
	defer tick.Stop()
	var seen course
	for {
		var doErr error
		over := false
		select {
		case <-tick.C:
		case doErr = <-done:
			over = true
		}
		m, err := readMemory(pid)
		if err != nil && !over {
			cancel()
			doErr, over = <-done, true
		}
		if err := errors.Join(err, doErr); err != nil {
			return course{}, err
		}
		seen.rss = max(seen.rss, m.rss, m.peak)
		seen.anon, seen.file = max(seen.anon, m.anon), max(seen.file, m.file)
		seen.samples = append(seen.samples, m.rss)
		if over {
			seen.peak = seen.rss
			return seen, nil
		}
	}
}

// processors is what the machine's processors have done since it was started, in
// seconds.
type processors procfs.CPUStat

func readProcessors() (processors, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return processors{}, fmt.Errorf("read what the processors do: %w", err)
	}
	stat, err := fs.Stat()
	if err != nil {
		return processors{}, fmt.Errorf("read what the processors do: %w", err)
	}
	return processors(stat.CPUTotal), nil
}

// stolenSince returns which share of the time that was wanted since then the host
// gave to other machines; proc(5), steal.
func (p processors) stolenSince(then processors) float64 {
	worked := func(p processors) float64 { return p.User + p.Nice + p.System + p.IRQ + p.SoftIRQ }
	stolen := p.Steal - then.Steal
	return stolen / max(stolen+worked(p)-worked(then), 1.0/clockTick)
}

// readWritten returns how many bytes a process has caused to be written to disk;
// proc(5), io.
func readWritten(pid int) (float64, error) {
	s, ok := procField(fmt.Sprintf("/proc/%d/io", pid), "write_bytes")
	if !ok {
		return 0, errors.New("the kernel does not tell what is written to disk")
	}
	return strconv.ParseFloat(s, 64)
}

//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// machine is what of a machine may be published: nothing that names it.
type machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Memory     uint64 `json:"memoryBytes"`
	Kernel     string `json:"kernel"`
	FileSystem string `json:"fileSystem"` // that the data was on
	GoVersion  string `json:"goVersion"`
}

// String is all of it in a line.
func (m machine) String() string {
	var parts []string
	for _, l := range m.lines() {
		parts = append(parts, l.value)
	}
	return strings.Join(parts, ", ")
}

type machineLine struct {
	name  text
	value string
}

// thisMachine describes the machine and the file system of dir.
func thisMachine(dir string) machine {
	m := machine{CPU: "unknown", Cores: runtime.NumCPU(), Kernel: "unknown", GoVersion: runtime.Version()}
	if v, ok := procField("/proc/cpuinfo", "model name"); ok {
		m.CPU = v
	}
	if v, ok := procField("/proc/meminfo", "MemTotal"); ok {
		m.Memory, _ = parseKilobytes(v) // 0 is printed, which nobody will believe
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = kernelVersion(string(b))
	}
	m.FileSystem = fileSystem(dir)
	return m
}

func (m machine) lines() []machineLine {
	return []machineLine{
		{text{"CPU", "CPU"}, fmt.Sprintf("%s, %d × %s", m.CPU, m.Cores, runtime.GOARCH)},
		{text{"Memory", "内存"}, fmt.Sprintf("%.0f GiB", float64(m.Memory)/(1<<30))},
		{text{"Kernel", "内核"}, "Linux " + m.Kernel},
		{text{"File system", "文件系统"}, m.FileSystem},
		{text{"Go", "Go"}, m.GoVersion},
	}
}

// kernelVersion is the part of a release before the distribution's own, which
// may name the machine's owner.
func kernelVersion(release string) string {
	version, _, _ := strings.Cut(strings.TrimSpace(release), "-")
	return version
}

// procField returns the value of a "name: value" line.
func procField(path, name string) (string, bool) {
	f, err := os.Open(path) // #nosec G304 -- a file of /proc
	if err != nil {
		return "", false
	}
	defer func() { _ = f.Close() }() // only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// parseKilobytes reads "123 kB" as bytes.
func parseKilobytes(s string) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(s, "kB")), 10, 54)
	return n << 10, err
}

// Magic numbers of statfs(2).
var fileSystems = map[int64]string{
	0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x01021994: "tmpfs (no disk)",
	0x794C7630: "overlay", 0x2FC12FC1: "zfs", 0xF2F52010: "f2fs", 0x6969: "nfs",
}

func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "unknown"
	}
	if name, ok := fileSystems[int64(s.Type)]; ok { // its type differs between architectures
		return name
	}
	return fmt.Sprintf("type %#x", s.Type)
}

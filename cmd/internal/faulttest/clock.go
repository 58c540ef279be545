//go:build linux

package faulttest

import (
	"context"
	_ "embed" // shiftSource
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// clockVariable names the file that a program of BuildWithClock reads.
const clockVariable = "CLOCK_SHIFT_FILE"

// shiftSource is what such a program has in its package time.
//
//go:embed testdata/shift.go.txt
var shiftSource string

// timeNow is where the package time reads the clock.
const timeNow = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"

// BuildWithClock builds the program with a wall clock that can be set, which a kernel
// offers to no single process: its package time adds what a file says, and all the rest is
// as it is. It takes the go tool and the source, and half a minute at the first time.
func BuildWithClock(ctx context.Context, dir string) (path string, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("a program with a clock that can be set is built with the go tool: %w", err)
	}
	library := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(library, "time.go")) // #nosec G304 -- of the go tool
	if err != nil {
		return "", err
	}
	shifted := strings.Replace(string(source), timeNow, strings.Replace(timeNow, "runtimeNow", "shiftedNow", 1), 1)
	if shifted == string(source) {
		return "", errors.New("the package time of this version of Go reads its clock in another way: see timeNow")
	}
	overlay := map[string]map[string]string{"Replace": {}}
	for name, text := range map[string]string{"time.go": shifted, "shift.go": shiftSource} {
		file := filepath.Join(dir, name)
		overlay["Replace"][filepath.Join(library, name)] = file
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return "", err
	}
	path = filepath.Join(dir, "sentinel-with-clock")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-overlay", list, "-o", path, "github.com/key-ip-sentinel/sentinel/cmd/sentinel") // #nosec G204 -- as above
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build a program with a clock that can be set: %w\n%s", err, out)
	}
	return path, nil
}

// Clock is the wall clock of a program of BuildWithClock, in a file.
type Clock string

// Env has a program go by the clock.
func (c Clock) Env() string { return clockVariable + "=" + string(c) }

// Set has the wall clock be ahead of that of the machine from now on, in whole seconds.
func (c Clock) Set(ahead time.Duration) error {
	f, err := os.OpenFile(string(c), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// In one write, as the program has the file in its memory.
	_, err = f.Write(binary.NativeEndian.AppendUint64(nil, uint64(ahead/time.Second))) // #nosec G115 -- read as signed
	return errors.Join(err, f.Close())
}

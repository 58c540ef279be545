//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/faulttest"
)

// TestNodesSurviveFaults has the worst of faults happen to three nodes, shortly and
// under a load that this machine has no trouble with: make soak has all of them, longer.
func TestNodesSurviveFaults(t *testing.T) {
	usedBinary = true
	path, err := binary()
	must(t, err)
	want := []string{"postgres-killed", "postgres-frozen", "node-black-hole", "node-killed", "redis-frozen"}
	report, err := faulttest.Run(t.Context(), faulttest.Options{
		Binary: path, Dir: t.TempDir(), Redis: true, Faults: want, Keys: 60, Rate: 100, Hold: 2 * time.Second, Rivals: 20, Seed: 1, Log: t.Output(),
	})
	must(t, err)
	if len(report.Faults) != len(want) || report.Bans == 0 || report.Winners == 0 {
		t.Errorf("got %+v, want %d faults, with bans and winners", report, len(want))
	}
	for _, f := range report.Faults {
		if f.Requests == 0 {
			t.Errorf("%s: nobody asked", f.Name)
		}
	}
}

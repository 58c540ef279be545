package main

import (
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/crashtest"
)

// Bounded numbers: make soak has larger ones.
const (
	crashRounds = 10
	crashSeed   = 1
	raceKeys    = 1000
)

func TestKillDuringFirstUseLosesNoAcceptedKey(t *testing.T) {
	usedBinary = true
	path, err := binary()
	must(t, err)
	report, err := crashtest.Run(t.Context(), crashtest.Options{
		Binary: path, Dir: t.TempDir(), Rounds: crashRounds, Seed: crashSeed, Log: t.Output(),
	})
	must(t, err)
	if report.Rounds != crashRounds || report.Accepted < crashRounds {
		t.Errorf("got %+v, want %d rounds with at least one accepted key each", report, crashRounds)
	}
	if report.Interrupted == 0 {
		t.Errorf("no kill interrupted a request: they did not come during the load")
	}
}

func TestOfTwoAddressesExactlyOneWinsANewKey(t *testing.T) {
	usedBinary = true
	path, err := binary()
	must(t, err)
	report, err := crashtest.Race(t.Context(), crashtest.RaceOptions{
		Binary: path, Dir: t.TempDir(), Keys: raceKeys, Log: t.Output(),
	})
	must(t, err)
	if won := report.Won[0] + report.Won[1]; won != raceKeys {
		t.Errorf("%d of %d keys have a winner", won, raceKeys)
	}
}

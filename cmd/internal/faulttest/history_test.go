//go:build linux

package faulttest

import (
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// op is an act on one key at one of two nodes, from one millisecond to another.
func op(from, to int64, in act, out answer) porcupine.Operation {
	const ms = int64(time.Millisecond)
	return porcupine.Operation{Input: in, Output: out, Call: from * ms, Return: to * ms}
}

func forever(o porcupine.Operation) porcupine.Operation {
	o.Return = math.MaxInt64
	return o
}

// TestModel holds the checker to what it is for: it must not explain what must not be.
func TestModel(t *testing.T) {
	home, away := act{from: 0}, act{from: 1}
	second := func(a act) act { a.node = 1; return a }
	ban := act{ban: true}
	for name, tt := range map[string]struct {
		ops []porcupine.Operation
		ok  bool
	}{
		"one winner":                           {[]porcupine.Operation{op(0, 5, home, passed), op(0, 5, second(away), refusedAddress)}, true},
		"two winners":                          {[]porcupine.Operation{op(0, 5, home, passed), op(0, 5, second(away), passed)}, false},
		"no winner":                            {[]porcupine.Operation{op(0, 5, home, refusedAddress), op(0, 5, away, refusedAddress)}, false},
		"the winner changes":                   {[]porcupine.Operation{op(0, 5, home, passed), op(10, 15, away, refusedAddress), op(20, 25, home, refusedAddress)}, false},
		"a first use with an unknown end wins": {[]porcupine.Operation{forever(op(0, 5, home, unknown)), op(10, 15, away, refusedAddress)}, true},
		"a first use with an unknown end wins late": {[]porcupine.Operation{forever(op(0, 5, home, unknown)), op(10, 15, away, refusedAddress), op(20, 25, away, passed)}, false},
		"a first use with an unknown end loses":     {[]porcupine.Operation{forever(op(0, 5, home, unknown)), op(10, 15, away, passed)}, true},
		"a ban is seen by one node first": {[]porcupine.Operation{
			op(0, 5, home, passed), op(10, 1_020, ban, passed), op(10, 1_020, second(ban), passed),
			op(30, 35, home, refusedBanned), op(40, 45, second(home), passed), op(1_030, 1_035, second(home), refusedBanned),
		}, true},
		"a ban is late": {[]porcupine.Operation{
			op(0, 5, home, passed), op(10, 1_020, second(ban), passed), op(1_030, 1_035, second(home), passed),
		}, false},
		"a ban is lost": {[]porcupine.Operation{
			op(0, 5, home, passed), op(10, 1_020, ban, passed), op(30, 35, home, refusedBanned), op(40, 45, home, passed),
		}, false},
		"a ban that nobody asked for": {[]porcupine.Operation{op(0, 5, home, passed), op(10, 15, home, refusedBanned)}, false},
		"a ban with an unknown end": {[]porcupine.Operation{
			op(0, 5, home, passed), forever(op(10, 20, ban, unknown)), op(30, 35, home, passed), op(40, 45, home, refusedBanned),
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := porcupine.CheckOperations(model, tt.ops); got != tt.ok {
				t.Errorf("explained: %v, want %v", got, tt.ok)
			}
		})
	}
}

package engine

import (
	"errors"
	"fmt"
)

// Mode says whether decisions are carried out.
type Mode string

// The modes.
const (
	ModeEnforce Mode = "enforce"
	ModeObserve Mode = "observe" // decide and record, refuse nothing
)

// Failsafe says what happens to keys that cannot be looked up or bound because
// the store does not answer.
type Failsafe string

// The failsafe modes.
const (
	FailsafeClosed Failsafe = "closed" // refused
	FailsafeOpen   Failsafe = "open"   // passed, counted, unbound
)

// BindOn says when an unknown key is bound.
type BindOn string

// The moments of binding.
const (
	BindOnAccepted BindOn = "accepted" // when the downstream has accepted it
	BindOnRequest  BindOn = "request"  // before the request is forwarded
)

// Anonymous says what happens to requests without any credential.
type Anonymous string

// The two answers.
const (
	AnonymousPass   Anonymous = "pass"
	AnonymousReject Anonymous = "reject"
)

// Guard says what happens to a first use from an address that is not the client's
// own: a trusted proxy, or the gateway of a container network.
type Guard string

// The answers. A key is bound to such an address only where there is no guard.
const (
	GuardPass   Guard = "pass"   // let pass, unbound
	GuardRefuse Guard = "refuse" // refused
	GuardOff    Guard = "off"
)

// Policy is the part of the settings that decisions follow. It is replaced as a
// whole while requests run.
type Policy struct {
	Mode      Mode
	Failsafe  Failsafe
	BindOn    BindOn
	Anonymous Anonymous
	// PrefixV4 and PrefixV6 are how many leading bits of the first client IP a
	// new binding covers: 1 to 32, and 1 to 128.
	PrefixV4, PrefixV6 int
	// NewRules say which rule a first use gives a key; none: the rule single.
	NewRules []NewRule
	Guard    Guard
	// BurstLimit is how many keys may be bound from one address within an hour
	// before that is told; 0: any number.
	BurstLimit int
	// BurstHold has those beyond held as Guard says.
	BurstHold bool
	// SharingMinutes is how many minutes of one day a key must be used in from several
	// networks to be suspected of being shared; 0: no key is.
	SharingMinutes int
}

// DefaultPolicy returns what applies where nothing is set.
func DefaultPolicy() Policy {
	return Policy{
		Mode: ModeEnforce, Failsafe: FailsafeClosed, BindOn: BindOnAccepted, Anonymous: AnonymousPass,
		PrefixV4: 32, PrefixV6: 64, Guard: GuardPass, BurstLimit: 20, SharingMinutes: 5,
	}
}

// Validate returns every fault of the policy, joined.
func (p Policy) Validate() error {
	return errors.Join(
		oneOf("mode", p.Mode, ModeEnforce, ModeObserve),
		oneOf("failsafe mode", p.Failsafe, FailsafeClosed, FailsafeOpen),
		oneOf("bind on", p.BindOn, BindOnAccepted, BindOnRequest),
		oneOf("anonymous", p.Anonymous, AnonymousPass, AnonymousReject),
		guardFault(p.Guard),
		burstFault(p.BurstLimit),
		newRulesFault(p.NewRules),
		inRange("IPv4 prefix length", p.PrefixV4, 32),
		inRange("IPv6 prefix length", p.PrefixV6, 128),
		sharingFault(p.SharingMinutes),
	)
}

// minutesOfADay is how many there are.
const minutesOfADay = 24 * 60

func sharingFault(minutes int) error {
	if minutes < 0 || minutes > minutesOfADay {
		return fmt.Errorf("minutes of a day that tell of sharing %d, want 0 (none do) to %d", minutes, minutesOfADay)
	}
	return nil
}

func guardFault(g Guard) error {
	if g != GuardPass && g != GuardRefuse && g != GuardOff {
		return fmt.Errorf("guard of first uses %q, want %q, %q or %q", g, GuardPass, GuardRefuse, GuardOff)
	}
	return nil
}

func burstFault(limit int) error {
	if limit < 0 {
		return fmt.Errorf("burst of first uses %d, want 0 or more", limit)
	}
	return nil
}

func oneOf[T ~string](name string, got, a, b T) error {
	if got != a && got != b {
		return fmt.Errorf("%s %q, want %q or %q", name, got, a, b)
	}
	return nil
}

func inRange(name string, got, most int) error {
	if got < 1 || got > most {
		return fmt.Errorf("%s %d, want 1 to %d", name, got, most)
	}
	return nil
}

package alert

import (
	"fmt"
	"time"
)

// Language of messages.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

func (l Language) known() bool { return l == English || l == Chinese }

// Settings are what can change while a Center runs.
type Settings struct {
	// ThresholdCount refused requests of one key within Window open an alert,
	// which closes when there were none for Window. Alerts of the other kinds
	// close after Window too, but for those of unknown keys, and those of what
	// comes now and then: first uses that are held, many bindings and shared keys
	// close after an hour at the earliest.
	ThresholdCount int
	Window         time.Duration
	// UnknownKeyCount requests of one address with keys that the downstream
	// refused, within UnknownKeyWindow, open an alert; 0: never.
	UnknownKeyCount  int
	UnknownKeyWindow time.Duration
	// NewBindings alerts of each new binding. Of the binding of a key that had
	// been archived there is an alert in any case.
	NewBindings bool
	// FailingAfter is how long the store or the downstream has to fail without
	// a break before there is an alert.
	FailingAfter time.Duration
	// Language is that of channels without one of their own.
	Language Language
	// RetentionDays is how long closed alerts and finished deliveries are kept,
	// up to a number; 0: only the number counts.
	RetentionDays int
	// WebhookURL is where the channel EnvChannel sends to; empty: there is no
	// such channel. WebhookSecret signs what it sends; empty: unsigned.
	WebhookURL    string
	WebhookSecret string
}

// DefaultSettings returns the settings of a new installation.
func DefaultSettings() Settings {
	return Settings{
		ThresholdCount: 5, Window: 5 * time.Minute,
		UnknownKeyCount: 30, UnknownKeyWindow: 5 * time.Minute,
		FailingAfter: 10 * time.Second, Language: English, RetentionDays: 90,
	}
}

// Validate returns a *FieldError for the first field that is wrong.
func (s Settings) Validate() error {
	switch {
	case s.ThresholdCount < 1:
		return &FieldError{"thresholdCount", "want at least 1"}
	case s.Window < time.Second:
		return &FieldError{"window", "want at least a second"}
	case s.UnknownKeyCount < 0:
		return &FieldError{"unknownKeyCount", "want 0 or more"}
	case s.UnknownKeyCount > 0 && s.UnknownKeyWindow < time.Second:
		return &FieldError{"unknownKeyWindow", "want at least a second"}
	case s.FailingAfter < 0:
		return &FieldError{"failingAfter", "want 0 or more"}
	case !s.Language.known():
		return &FieldError{"language", fmt.Sprintf("want %q or %q", English, Chinese)}
	case s.RetentionDays < 0:
		return &FieldError{"retentionDays", "want 0 or more"}
	}
	if s.WebhookURL != "" {
		return checkURL("webhookUrl", s.WebhookURL)
	}
	return nil
}

// slowQuiet is how long it takes at least until what comes now and then is over.
const slowQuiet = time.Hour

// quiet is how long nothing of a kind has to happen for an alert to close.
func (s Settings) quiet(k Kind) time.Duration {
	switch {
	case k == UnknownKeys && s.UnknownKeyCount > 0:
		return s.UnknownKeyWindow
	case k == FirstUseHeld, k == ManyBindings, k == KeyShared:
		return max(s.Window, slowQuiet)
	}
	return s.Window
}

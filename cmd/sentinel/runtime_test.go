package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// openRuntime returns runtime settings over a start with an environment.
func openRuntime(t *testing.T, documents store.Documents, environ ...string) (*runtimeSettings, []string) {
	t.Helper()
	start, _, err := load(t, "", append(environ, testDownstream)...)
	must(t, err)
	r, warnings, err := openRuntimeSettings(t.Context(), documents, start)
	must(t, err)
	return r, warnings
}

// change makes a change; a value of "-" takes one back.
func change(t *testing.T, r *runtimeSettings, pairs ...string) (before, after []admin.Setting, err error) {
	t.Helper()
	values := map[string]*string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if values[name] = &value; value == "-" {
			values[name] = nil
		}
	}
	changed, err := r.Change(t.Context(), admin.SettingsChange{Values: values})
	return changed.Before, changed.After, err
}

func listed(t *testing.T, r *runtimeSettings, name string) admin.Setting {
	t.Helper()
	list := r.List()
	i := slices.IndexFunc(list, func(s admin.Setting) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("%s is not listed", name)
	}
	return list[i]
}

// keep puts a document there as an earlier run has left it.
func keep(t *testing.T, documents store.Documents, values map[string]string) {
	t.Helper()
	body, err := json.Marshal(values)
	must(t, err)
	_, err = documents.PutDocument(t.Context(), store.Document{Kind: runtimeKind, ID: runtimeID, Body: body})
	must(t, err)
}

func TestRuntimeValueBeatsTheEnvironmentAndIsKept(t *testing.T) {
	s := memory.New()
	r, _ := openRuntime(t, s, "SENTINEL_MODE=enforce", "ARCHIVE_DAYS=30")
	var applied []string
	r.applyWith(func(c *Config) error { applied = append(applied, c.Mode); return nil })
	before, after, err := change(t, r, "SENTINEL_MODE= Observe ")
	must(t, err)
	if len(before) != 1 || before[0].Value != "enforce" || before[0].Source != sourceEnviron ||
		len(after) != 1 || after[0].Value != "observe" || after[0].Source != sourceRuntime {
		t.Errorf("got %+v, then %+v", before, after)
	}
	if c := r.Config(); c.Mode != "observe" || c.ArchiveDays != 30 || !slices.Equal(applied, []string{"observe"}) {
		t.Errorf("in force: %s, %d; applied %q", c.Mode, c.ArchiveDays, applied)
	}

	again, warnings := openRuntime(t, s, "SENTINEL_MODE=enforce")
	if got := again.Config().Mode; got != "observe" || len(warnings) > 0 {
		t.Errorf("at the next start: got %s, %q, want what was kept", got, warnings)
	}
	if _, _, err := change(t, again, "SENTINEL_MODE=-"); err != nil || again.Config().Mode != "enforce" || listed(t, again, "SENTINEL_MODE").Source != sourceEnviron {
		t.Errorf("taken back: got %s, %v, want what the environment says", again.Config().Mode, err)
	}
	if third, _ := openRuntime(t, s); third.Config().Mode != "enforce" {
		t.Error("what was taken back is still kept")
	}
}

func TestChangeIsRefusedAsAWhole(t *testing.T) {
	s := memory.New()
	r, _ := openRuntime(t, s)
	r.applyWith(func(*Config) error { t.Error("a refused change was applied"); return nil })
	_, _, err := change(t, r, "ARCHIVE_DAYS=7", "SENTINEL_MODE=lenient", "SENTINEL_BIND_PREFIX_V4=33", "SENTINEL_LISTEN=:80",
		"SENTINEL_MDOE=x", "SENTINEL_LOG_LEVEL=", "ALERT_WEBHOOK_URL=ftp://user:hunter2@x", "APP_PORT=-")
	faults := (*admin.SettingFaults)(nil)
	if !errors.As(err, &faults) {
		t.Fatalf("got %v, want faults", err)
	}
	want := map[string]string{
		"SENTINEL_MODE":           `"lenient": unknown value; want enforce or observe, e.g. observe`,
		"SENTINEL_BIND_PREFIX_V4": `"33": out of range; want a whole number from 1 to 32, e.g. 24`,
		"SENTINEL_LISTEN":         "cannot be changed while the program runs: set it where the others are, and start again",
		"APP_PORT":                "cannot be changed while the program runs: set it where the others are, and start again",
		"SENTINEL_MDOE":           "there is no such setting; did you mean SENTINEL_MODE?",
		"SENTINEL_LOG_LEVEL":      "is empty; null takes a runtime value back",
		"ALERT_WEBHOOK_URL":       `has the scheme "ftp"; want an http:// or https:// URL, e.g. https://hooks.example.com/sentinel`,
	}
	for _, f := range faults.Faults {
		if f.Fault != want[f.Name] {
			t.Errorf("%s: got %q, want %q", f.Name, f.Fault, want[f.Name])
		}
		delete(want, f.Name)
	}
	if len(want) > 0 {
		t.Errorf("no word of %v", want)
	}
	if _, err := s.Document(t.Context(), runtimeKind, runtimeID); !errors.Is(err, store.ErrNotFound) || r.Config().ArchiveDays != 90 {
		t.Errorf("something was kept (%v) or changed (%d)", err, r.Config().ArchiveDays)
	}
}

// brokenDocuments takes no writes.
type brokenDocuments struct{ store.Documents }

func (brokenDocuments) PutDocument(context.Context, store.Document) (store.Document, error) {
	return store.Document{}, store.ErrUnavailable
}

func TestChangeThatCannotBeKeptIsNotApplied(t *testing.T) {
	r, _ := openRuntime(t, brokenDocuments{memory.New()})
	r.applyWith(func(*Config) error { t.Error("applied"); return nil })
	if _, _, err := change(t, r, "SENTINEL_MODE=observe"); !errors.Is(err, store.ErrUnavailable) || r.Config().Mode != "enforce" {
		t.Errorf("got %v and %s", err, r.Config().Mode)
	}
}

func TestKeptValuesThatDoNotCount(t *testing.T) {
	s := memory.New()
	keep(t, s, map[string]string{"SENTINEL_MODE": "lenient", "SENTINEL_GONE": "1", "ARCHIVE_DAYS": "7"})
	r, warnings := openRuntime(t, s)
	if r.Config().Mode != "enforce" || r.Config().ArchiveDays != 7 {
		t.Errorf("got %s and %d, want the bad one ignored and the good one in force", r.Config().Mode, r.Config().ArchiveDays)
	}
	text := strings.Join(warnings, "\n")
	if len(warnings) != 2 || !strings.Contains(text, "settings unset SENTINEL_MODE") || !strings.Contains(text, "settings unset SENTINEL_GONE") {
		t.Errorf("got %q, want to be told how to take both back", warnings)
	}
	if _, _, err := change(t, r, "SENTINEL_ANONYMOUS=reject"); err != nil {
		t.Errorf("another setting: %v", err)
	}
	if _, _, err := change(t, r, "SENTINEL_MODE=-", "SENTINEL_GONE=-"); err != nil {
		t.Errorf("taking both back: %v", err)
	}
	if again, warnings := openRuntime(t, s); len(warnings) > 0 || again.Config().Anonymous != "reject" {
		t.Errorf("at the next start: got %q, %s", warnings, again.Config().Anonymous)
	}
}

func TestChangesAtOnceAreNotLost(t *testing.T) {
	s := memory.New()
	one, _ := openRuntime(t, s)
	two, _ := openRuntime(t, s) // as another node
	names := []string{"ARCHIVE_DAYS", "SENTINEL_ARCHIVE_PURGE_DAYS", "SENTINEL_INTERCEPT_DAYS", "SENTINEL_COUNTER_DAYS", "SENTINEL_AUDIT_DAYS"}
	var changes sync.WaitGroup
	for i, name := range names {
		changes.Go(func() {
			r := []*runtimeSettings{one, two}[i%2]
			for n := range 20 {
				if _, _, err := change(t, r, fmt.Sprintf("%s=%d", name, 100*i+n)); err != nil && !errors.Is(err, store.ErrConflict) {
					t.Errorf("%s: %v", name, err)
				} else if err != nil {
					t.Errorf("%s: others got in between each time", name)
				}
			}
		})
	}
	changes.Wait()
	last, _ := openRuntime(t, s)
	for i, name := range names {
		if got, want := listed(t, last, name).Value, fmt.Sprint(100*i+19); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestListTellsWhatAFormNeeds(t *testing.T) {
	start, _, err := loadConfig(sources{
		environ: []string{testDownstream, "SENTINEL_MAX_BODY=1MiB", "ADMIN_PASSWORD=" + longSecret}, flags: map[string]string{"SENTINEL_H2C": "yes"},
	})
	must(t, err)
	r, _, err := openRuntimeSettings(t.Context(), memory.New(), start)
	must(t, err)
	if got := len(r.List()); got != len(settings) {
		t.Errorf("got %d settings, want all %d", got, len(settings))
	}
	type short struct {
		Value, Default, Source, Type string
		IsSet, Runtime, Secret       bool
	}
	tests := map[string]short{
		"SENTINEL_MODE":           {"enforce", "enforce", "default", "choice", true, true, false},
		"SENTINEL_MAX_BODY":       {"1MiB", "32MiB", "environment", "size", true, false, false},
		"SENTINEL_H2C":            {"true", "false", "flag", "boolean", true, false, false},
		"ADMIN_PASSWORD":          {"", "", "environment", "secret", true, false, true},
		"SENTINEL_HMAC_SECRET":    {"", "", "default", "secret", false, false, true},
		"SENTINEL_LISTEN":         {":7000", "", "default", "text", true, false, false},
		"TRUSTED_PROXY_IPS":       {"", "", "default", "list", false, true, false},
		"ALERT_THRESHOLD_SECONDS": {"300", "300", "default", "duration", true, true, false},
		"SENTINEL_LOG_LEVEL":      {"info", "info", "default", "choice", true, true, false},
	}
	for name, want := range tests {
		s := listed(t, r, name)
		if got := (short{s.Value, s.Default, s.Source, s.Type, s.IsSet, s.Runtime, s.Secret}); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	if s := listed(t, r, "SENTINEL_BIND_PREFIX_V6"); s.Min == nil || *s.Min != 1 || s.Max == nil || *s.Max != 128 {
		t.Errorf("bounds of a number: got %v to %v", s.Min, s.Max)
	}
	if s := listed(t, r, "ALERT_THRESHOLD_SECONDS"); s.Min == nil || *s.Min != 1 {
		t.Errorf("least duration: got %v seconds, want 1", s.Min)
	}
	if s := listed(t, r, "SENTINEL_MODE"); !slices.Equal(s.Choices, []string{"enforce", "observe"}) || s.Help.Zh == "" || s.Group.En == "" || s.Want == "" {
		t.Errorf("got %+v", s)
	}
	if raw, err := json.Marshal(r.List()); err != nil || strings.Contains(string(raw), longSecret) {
		t.Errorf("a secret is in the list (%v)", err)
	}
}

func TestEveryShapeHasAKind(t *testing.T) {
	kinds := []string{"text", "number", "boolean", "duration", "size", "choice", "list", "secret"}
	for _, s := range settings {
		shape := s.value.shape
		if !slices.Contains(kinds, shape.kind) || (shape.kind == "choice") != (len(shape.choices) > 0) || (shape.kind == "secret") != (s.secrecy != public) {
			t.Errorf("%s: shape %+v", s.name, shape)
		}
	}
}

func TestRuntimeSettingsAreThoseOfTheDesign(t *testing.T) {
	want := strings.Fields(`SENTINEL_PUBLIC_URL TRUSTED_PROXY_IPS SENTINEL_REAL_IP_HEADER SENTINEL_MODE SENTINEL_BIND_ON SENTINEL_BIND_PREFIX_V4 SENTINEL_BIND_PREFIX_V6 SENTINEL_ANONYMOUS
		SENTINEL_FAILSAFE_MODE SENTINEL_BIND_RULE SENTINEL_BIND_GUARD SENTINEL_BIND_BURST SENTINEL_BIND_BURST_ACTION SENTINEL_SHARING_MINUTES
		SENTINEL_ADMIN_NETWORKS SENTINEL_LOG_LEVEL ARCHIVE_DAYS SENTINEL_ARCHIVE_PURGE_DAYS SENTINEL_INTERCEPT_DAYS
		SENTINEL_COUNTER_DAYS SENTINEL_AUDIT_DAYS ALERT_WEBHOOK_URL ALERT_THRESHOLD_COUNT ALERT_THRESHOLD_SECONDS SENTINEL_ALERT_LANGUAGE`)
	if got := runtimeNames(); !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestRuntimeValuesFillTheirFields(t *testing.T) {
	r, _ := openRuntime(t, memory.New())
	_, _, err := change(t, r, "SENTINEL_LOG_LEVEL=debug", "ALERT_THRESHOLD_SECONDS=2m", "ALERT_WEBHOOK_URL=https://hooks.example.com/x", "SENTINEL_BIND_PREFIX_V6=56",
		"SENTINEL_BIND_RULE=sk-ci*=all,@office+@vpn", "SENTINEL_BIND_GUARD=refuse", "SENTINEL_BIND_BURST=7", "SENTINEL_BIND_BURST_ACTION=hold")
	must(t, err)
	policy := policyOf(r.Config())
	if policy.Validate() != nil || len(policy.NewRules) != 2 || policy.Guard != engine.GuardRefuse || policy.BurstLimit != 7 || !policy.BurstHold {
		t.Errorf("got policy %+v", policy)
	}
	c := r.Config()
	if c.LogLevel != slog.LevelDebug || c.AlertWindow != 2*time.Minute || c.AlertWebhookURL.Reveal() != "https://hooks.example.com/x" || c.BindPrefixV6 != 56 {
		t.Errorf("got %v, %v, %q, %d", c.LogLevel, c.AlertWindow, c.AlertWebhookURL.Reveal(), c.BindPrefixV6)
	}
	if s := listed(t, r, "ALERT_WEBHOOK_URL"); s.Value != "" || !s.IsSet || s.Source != sourceRuntime {
		t.Errorf("the webhook is shown or not set: %+v", s)
	}
}

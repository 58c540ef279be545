package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

// All runtime values are one document, so that a change of several is kept as a
// whole or not at all, and its revision shows a change by somebody else.
const (
	runtimeKind = "settings"
	runtimeID   = "runtime"

	// changeTries is how often a change is tried while other nodes get in between:
	// each time that one fails, another has succeeded.
	changeTries = 100
)

// runtimeSettings are the settings in force: those of the start, and over them
// the values that were set while the program ran and are kept in the store. It
// is safe for concurrent use.
type runtimeSettings struct {
	documents store.Documents
	start     *Config // as flags, environment and file have them

	mu    sync.Mutex // held by changes, from reading what is kept to applying it
	apply func(*Config) error

	inForce atomic.Pointer[Config]
}

var _ admin.Settings = (*runtimeSettings)(nil)

// openRuntimeSettings returns the settings with what the store keeps over those
// of the start. What is kept and does not count is told in the warnings.
func openRuntimeSettings(ctx context.Context, documents store.Documents, start *Config) (*runtimeSettings, []string, error) {
	r := &runtimeSettings{documents: documents, start: start, apply: func(*Config) error { return nil }}
	kept, _, err := r.read(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg, faults := r.over(kept)
	r.inForce.Store(cfg)
	var warnings []string
	for _, f := range faults {
		warnings = append(warnings, fmt.Sprintf("the runtime value that is kept of %s does not count: %s; take it back with: sentinel settings unset %s",
			f.Name, f.Fault, f.Name))
	}
	return r, warnings, nil
}

// Config returns the settings in force. It must not be changed.
func (r *runtimeSettings) Config() *Config { return r.inForce.Load() }

// applyWith sets what carries a change out. It is called with one change at a
// time.
func (r *runtimeSettings) applyWith(apply func(*Config) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.apply = apply
}

// Reload has in force what is kept, which another node may have changed.
func (r *runtimeSettings) Reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept, _, err := r.read(ctx)
	if err != nil {
		return err
	}
	next, _ := r.over(kept) // who changed it was told what does not count
	if maps.Equal(next.given, r.Config().given) {
		return nil
	}
	if err := r.apply(next); err != nil {
		return fmt.Errorf("apply settings: %w", err)
	}
	r.inForce.Store(next)
	return nil
}

// read returns what is kept, by name, and its revision.
func (r *runtimeSettings) read(ctx context.Context) (kept map[string]string, revision uint64, err error) {
	d, err := r.documents.Document(ctx, runtimeKind, runtimeID)
	if errors.Is(err, store.ErrNotFound) {
		return map[string]string{}, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read runtime settings: %w", err)
	}
	if err := json.Unmarshal(d.Body, &kept); err != nil {
		return nil, 0, fmt.Errorf("read runtime settings: %w", err)
	}
	return kept, d.Revision, nil
}

// over returns the settings of the start with runtime values over them, and what
// is wrong with those that were left out.
func (r *runtimeSettings) over(values map[string]string) (*Config, []admin.SettingFault) {
	c := *r.start
	c.given = maps.Clone(r.start.given)
	var faults []admin.SettingFault
	for _, name := range slices.Sorted(maps.Keys(values)) {
		s := settingNamed(name)
		switch {
		case s == nil:
			faults = append(faults, admin.SettingFault{Name: name, Fault: "there is no such setting" + didYouMean(name, runtimeNames(), "")})
			continue
		case !s.runtime:
			faults = append(faults, admin.SettingFault{Name: name, Fault: "cannot be changed while the program runs: set it where the others are, and start again"})
			continue
		}
		if wrong := s.parseInto(&c, values[name]); len(wrong) > 0 {
			for _, err := range wrong {
				faults = append(faults, settingFaultOf(name, err))
			}
			continue
		}
		c.given[name] = given{value: values[name], source: sourceRuntime}
	}
	return &c, faults
}

// settingFaultOf returns a fault without the name before it.
func settingFaultOf(name string, err error) admin.SettingFault {
	return admin.SettingFault{Name: name, Fault: strings.TrimLeft(strings.TrimPrefix(err.Error(), name), ":= ")}
}

// List returns every setting in the order of the documentation.
func (r *runtimeSettings) List() []admin.Setting {
	c := r.Config()
	list := make([]admin.Setting, 0, len(settings))
	for _, s := range settings {
		list = append(list, s.described(c))
	}
	return list
}

// Change sets runtime settings, or with nil takes them back; all or none. What it
// acknowledges is in the store, and in force.
func (r *runtimeSettings) Change(ctx context.Context, change admin.SettingsChange) (admin.ChangedSettings, error) {
	change.Values = tidied(change.Values)
	r.mu.Lock()
	defer r.mu.Unlock()
	var (
		next    *Config
		changed admin.ChangedSettings
		err     error
	)
	for try := 1; ; try++ {
		next, changed.Warnings, err = r.changeLocked(ctx, change)
		if !errors.Is(err, store.ErrConflict) || try == changeTries {
			break
		}
	}
	if err != nil {
		return admin.ChangedSettings{}, err
	}
	was := r.Config()
	if err := r.apply(next); err != nil {
		return admin.ChangedSettings{}, fmt.Errorf("settings are kept, and in force from the next start on, but not now: %w", err)
	}
	r.inForce.Store(next)
	for _, s := range settings {
		if now, then := next.given[s.name], was.given[s.name]; now.value != then.value || now.source != then.source {
			changed.Before, changed.After = append(changed.Before, s.described(was)), append(changed.After, s.described(next))
		}
	}
	return changed, nil
}

// changeLocked keeps what a change asks for, and returns the settings that are
// then to be in force, with what is doubtful about them. Returns
// store.ErrConflict if somebody else was faster.
func (r *runtimeSettings) changeLocked(ctx context.Context, change admin.SettingsChange) (*Config, []admin.SettingFault, error) {
	kept, revision, err := r.read(ctx)
	if err != nil {
		return nil, nil, err
	}
	warnings, err := r.examine(kept, change)
	if err != nil {
		return nil, nil, err
	}
	wanted := maps.Clone(kept)
	for name, value := range change.Values {
		if value == nil {
			delete(wanted, name)
		} else {
			wanted[name] = *value
		}
	}
	next, _ := r.over(wanted) // what was kept before and does not count goes on not to count
	if err := r.allow(change, next); err != nil {
		return nil, nil, err
	}
	if maps.Equal(kept, wanted) {
		return next, warnings, nil
	}
	body, err := json.Marshal(wanted)
	if err != nil {
		return nil, nil, fmt.Errorf("keep settings: %w", err)
	}
	_, err = r.documents.PutDocument(ctx, store.Document{Kind: runtimeKind, ID: runtimeID, Revision: revision, Body: body})
	if err != nil {
		return nil, nil, fmt.Errorf("keep settings: %w", err)
	}
	return next, warnings, nil
}

// examine returns what is doubtful about a change, or everything that is wrong
// with it: with its values, with its names, and with the settings as a whole as
// they would be.
func (r *runtimeSettings) examine(kept map[string]string, change admin.SettingsChange) ([]admin.SettingFault, error) {
	var faults, warnings []admin.SettingFault
	set, wanted := map[string]string{}, maps.Clone(kept)
	for name, value := range change.Values {
		s := settingNamed(name)
		_, isKept := kept[name]
		delete(wanted, name)
		switch {
		case value == nil && (isKept || s != nil && s.runtime): // taken back
		case value != nil && *value == "":
			faults = append(faults, admin.SettingFault{Name: name, Fault: "is empty; null takes a runtime value back"})
		case value == nil:
			set[name] = "" // for over to say what is wrong with the name
		default:
			set[name], wanted[name] = *value, *value
		}
	}
	alone, wrong := r.over(set)
	if !change.ConfirmAnySource {
		wrong = append(wrong, anySourceFaults(alone, set)...)
	}
	if faults = append(faults, wrong...); len(faults) == 0 {
		whole, _ := r.over(wanted)
		check := &reading{values: whole.given}
		check.check(whole)
		for _, err := range check.faults {
			fault := (*settingFault)(nil)
			if !errors.As(err, &fault) {
				fault = &settingFault{"", err}
			}
			faults = append(faults, settingFaultOf(fault.name, err))
		}
		warnings = warningsOf(check.warnings, set)
	}
	if len(faults) == 0 {
		return warnings, nil
	}
	slices.SortStableFunc(faults, func(a, b admin.SettingFault) int { return strings.Compare(a.Name, b.Name) })
	return nil, &admin.SettingFaults{Faults: faults}
}

// warningsOf returns the warnings that are about one of the settings that are
// set.
func warningsOf(warnings []string, set map[string]string) []admin.SettingFault {
	var about []admin.SettingFault
	for _, warning := range warnings {
		name, text, _ := strings.Cut(warning, " ")
		name = strings.TrimSuffix(name, ":")
		if _, isSet := set[name]; isSet {
			about = append(about, admin.SettingFault{Name: name, Fault: text})
		}
	}
	return about
}

// tidied returns values as put would take them.
func tidied(values map[string]*string) map[string]*string {
	tidy := make(map[string]*string, len(values))
	for name, value := range values {
		if s := settingNamed(name); value != nil && s != nil && s.secrecy < verbatim {
			value = new(s.canonical(strings.TrimSpace(*value)))
		}
		tidy[name] = value
	}
	return tidy
}

func runtimeNames() []string {
	var names []string
	for _, s := range settings {
		if s.runtime {
			names = append(names, s.name)
		}
	}
	return names
}

package main

import (
	"fmt"
	"slices"
	"strings"
)

// setting is one row of the table: everything that parsing, faults, --help and
// the documentation say of it.
type setting struct {
	name    string
	group   *group
	value   boundForm
	def     string // as it would be written; empty: the zero value
	defText text   // told in place of def, if that is not the whole story
	example string
	help    text
	secrecy secrecy
	derived func(*Config) string // the value where none is given, if that is not def

	required bool
	runtime  bool // can be changed in the running program, and is kept in the store then
	legacy   bool // a name of the earlier Python deployment
	unused   text // why this version does nothing with it; empty: it does
}

// secrecy tells how a value is handled; greater means more carefully.
type secrecy int

const (
	public   secrecy = iota
	hidden           // never shown
	verbatim         // nor trimmed
	own              // nor short, nor empty: Sentinel's own, made if not given
)

// group is a heading of the documentation.
type group struct{ title text }

// flag returns the name of the flag: that of the setting without SENTINEL_.
func (s *setting) flag() string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(s.name, namePrefix)), "_", "-")
}

// shown returns the assignment as a fault may show it.
func (s *setting) shown(value string) string {
	if s.secrecy != public || strings.Contains(value, "@") {
		return s.name
	}
	if len(value) > maxShownValue {
		return fmt.Sprintf("%s=%q…", s.name, value[:maxShownValue])
	}
	return fmt.Sprintf("%s=%q", s.name, value)
}

func settingNamed(name string) *setting {
	i := slices.IndexFunc(settings, func(s *setting) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return settings[i]
}

func settingNames() []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	return names
}

package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

// described returns a setting as the admin API shows it, with its value in c.
func (s *setting) described(c *Config) admin.Setting {
	shape := s.value.shape
	d := admin.Setting{
		Name: s.name, Default: s.def, Source: sourceDefault, Runtime: s.runtime, Secret: s.secrecy != public,
		Type: shape.kind, Choices: shape.choices, Min: shape.min, Max: shape.max, Want: s.value.want, Example: s.example,
		Group: admin.Text{En: s.group.title.en, Zh: s.group.title.zh}, Help: admin.Text{En: s.help.en, Zh: s.help.zh},
	}
	if s.unused.en != "" {
		d.Unused = &admin.Text{En: s.unused.en, Zh: s.unused.zh}
	}
	value := s.def
	if g, isGiven := c.given[s.name]; isGiven {
		value, d.Source = s.canonical(g.value), g.source
	} else if s.derived != nil {
		value = s.derived(c)
	}
	d.IsSet = value != ""
	if !d.Secret {
		d.Value = value
	}
	return d
}

// canonical returns a value in the spelling that choices and booleans have in
// the documentation, so that a form finds it among its own.
func (s *setting) canonical(value string) string {
	switch s.value.shape.kind {
	case trueFalse.kind:
		if yes, err := parseBool(value); err == nil {
			return strconv.FormatBool(yes)
		}
	case "choice":
		if lower := strings.ToLower(value); slices.Contains(s.value.shape.choices, lower) {
			return lower
		}
	}
	return value
}

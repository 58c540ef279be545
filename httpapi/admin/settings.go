package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/event"
)

const (
	tagSettings = "settings"
	hidden      = "***"
)

type settingsOut struct {
	Body struct {
		Items []Setting `json:"items" doc:"Every setting, in the order of the documentation."`
	}
}

// settingValues are values by name; nil takes a setting back.
type settingValues map[string]*string

// Schema says that a value may be null, which huma does not do for maps.
func (settingValues) Schema(huma.Registry) *huma.Schema {
	most := 100
	length := 64 << 10
	return &huma.Schema{
		Type: huma.TypeObject, MaxProperties: &most,
		Description:          "Values by the names of their settings; null: what the environment says, or the default.",
		AdditionalProperties: &huma.Schema{Type: huma.TypeString, Nullable: true, MaxLength: &length},
		Examples:             []any{map[string]any{"SENTINEL_MODE": "observe", "ARCHIVE_DAYS": nil}},
	}
}

type changeSettingsIn struct {
	Body struct {
		Values           settingValues `json:"values"`
		ConfirmAnySource bool          `json:"confirmAnySource,omitempty" doc:"Must be true if 0.0.0.0/0 or ::/0 is among the trusted proxies or the admin networks."`
		Force            bool          `json:"force,omitempty" doc:"Makes the change even if you could not reach administration after it."`
	}
}

type changeSettingsOut struct {
	Body struct {
		Items    []Setting        `json:"items" doc:"Every setting, in the order of the documentation."`
		Warnings []settingWarning `json:"warnings" doc:"What is doubtful about the values that were sent."`
	}
}

type settingWarning struct {
	Name    string `json:"name" doc:"Which setting."`
	Message string `json:"message" doc:"What is doubtful about it."`
	Wording
}

// settingChange is what the audit trail and the events say of a setting.
type settingChange struct {
	Value  string `json:"value"`
	Source string `json:"source"`
}

// settingEvent is the data of an event of type setting.
type settingEvent struct {
	Name   string `json:"name" doc:"Which setting."`
	Value  string `json:"value" doc:"What is in force now; empty if it is secret."`
	Source string `json:"source" doc:"Where the value comes from."`
	Actor  string `json:"actor" doc:"Who changed it."`
}

func (a *API) registerSettings() {
	handle(a, operation{
		method: http.MethodGet, path: "/settings", id: "list-settings", tag: tagSettings, summary: "List the settings",
		about: "With all that a client needs to draw a form: default, source, bounds, and texts in both languages. Secrets are not shown.",
		role:  account.Viewer,
	}, a.listSettings)
	handle(a, operation{
		method: http.MethodPut, path: "/settings", id: "change-settings", tag: tagSettings, summary: "Change settings",
		about: "All of them or none. They are in force at once, without a restart, and beat the environment. Only settings whose runtime is true can be changed. " +
			"A change after which you could not reach administration is refused (would_lock_out), unless you force it.",
		role: account.Admin, errors: []int{http.StatusConflict},
	}, a.changeSettings)
}

func (a *API) listSettings(_ context.Context, _ *call, _ *struct{}) (*settingsOut, error) {
	out := new(settingsOut)
	out.Body.Items = shownSettings(a.opts.Settings.List())
	return out, nil
}

// shownSettings leaves out the values of secrets, whatever the source says.
func shownSettings(list []Setting) []Setting {
	shown := make([]Setting, len(list))
	for i, s := range list {
		if s.Secret {
			s.Value, s.Default = "", ""
		}
		shown[i] = s
	}
	return shown
}

func (a *API) changeSettings(ctx context.Context, c *call, in *changeSettingsIn) (*changeSettingsOut, error) {
	change := SettingsChange{Values: in.Body.Values, ConfirmAnySource: in.Body.ConfirmAnySource}
	if !in.Body.Force {
		change.Allow = func(now, then Access) error { return lockOut(c.request, now, then) }
	}
	changed, err := a.opts.Settings.Change(ctx, change)
	var refused *SettingFaults
	if errors.As(err, &refused) {
		f := invalid()
		for _, fault := range refused.Faults {
			f.fields = append(f.fields, fieldFault{Location: "body.values." + fault.Name, Message: fault.Fault})
		}
		return nil, f
	}
	if err != nil {
		return nil, err
	}
	for i, s := range changed.After {
		was, is := changeOfSetting(changed.Before[i]), changeOfSetting(s)
		a.opts.Engine.Events().Publish(event.TypeSetting, settingEvent{s.Name, is.Value, is.Source, c.actor})
		if err := a.audit(ctx, c, "setting.change", "setting:"+s.Name, was, is); err != nil {
			return nil, err
		}
	}
	out := new(changeSettingsOut)
	out.Body.Items = shownSettings(a.opts.Settings.List())
	out.Body.Warnings = make([]settingWarning, 0, len(changed.Warnings))
	for _, w := range changed.Warnings {
		out.Body.Warnings = append(out.Body.Warnings, settingWarning{w.Name, w.Fault, wordingOf(w.Fault)})
	}
	return out, nil
}

func changeOfSetting(s Setting) settingChange {
	if s.Secret && s.IsSet {
		s.Value = hidden
	}
	return settingChange{s.Value, s.Source}
}

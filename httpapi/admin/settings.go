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
		Values settingValues `json:"values"`
	}
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
		about: "All of them or none. They are in force at once, without a restart, and beat the environment. Only settings whose runtime is true can be changed.",
		role:  account.Admin,
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

func (a *API) changeSettings(ctx context.Context, c *call, in *changeSettingsIn) (*settingsOut, error) {
	before, after, err := a.opts.Settings.Change(ctx, in.Body.Values)
	var refused *SettingFaults
	if errors.As(err, &refused) {
		f := invalid()
		for _, fault := range refused.Faults {
			f.fields = append(f.fields, fieldFault{"body.values." + fault.Name, fault.Fault})
		}
		return nil, f
	}
	if err != nil {
		return nil, err
	}
	for i, s := range after {
		was, is := changeOfSetting(before[i]), changeOfSetting(s)
		a.opts.Engine.Events().Publish(event.TypeSetting, settingEvent{s.Name, is.Value, is.Source, c.actor})
		if err := a.audit(ctx, c, "setting.change", "setting:"+s.Name, was, is); err != nil {
			return nil, err
		}
	}
	out := new(settingsOut)
	out.Body.Items = shownSettings(a.opts.Settings.List())
	return out, nil
}

func changeOfSetting(s Setting) settingChange {
	if s.Secret && s.IsSet {
		s.Value = hidden
	}
	return settingChange{s.Value, s.Source}
}

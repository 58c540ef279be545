package admin

import "context"

// Settings is what the API needs of the settings, which cmd reads and keeps.
type Settings interface {
	// List returns every setting in the order of the documentation.
	List() []Setting
	// Change sets runtime settings, or takes them back to what the environment
	// says; all or none. Returns *SettingFaults if a value is wrong, or the error
	// of change.Allow.
	Change(ctx context.Context, change SettingsChange) (ChangedSettings, error)
}

// SettingsChange is a change that somebody asks for.
type SettingsChange struct {
	Values map[string]*string // by name; nil takes a setting back
	// ConfirmAnySource must be set for 0.0.0.0/0 or ::/0 as a trusted proxy or an
	// admin network.
	ConfirmAnySource bool
	// Allow is asked, if not nil, before anything is kept, if the change is to who
	// reaches administration: an error refuses it.
	Allow func(now, then Access) error
}

// ChangedSettings are the settings that are different now, as they were and as
// they are, and what is doubtful about them.
type ChangedSettings struct {
	Before, After []Setting
	Warnings      []SettingFault
}

// Setting is one setting with all that a client needs to draw its field.
type Setting struct {
	Name    string `json:"name" doc:"Such as SENTINEL_MODE."`
	Value   string `json:"value" doc:"In force now, as it would be written; empty if it is secret."`
	IsSet   bool   `json:"isSet" doc:"Whether it has any value, which tells of secrets too."`
	Default string `json:"default" doc:"What applies where nothing is set."`
	Source  string `json:"source" enum:"default,file,environment,flag,runtime" doc:"Where the value comes from."`
	Runtime bool   `json:"runtime" doc:"Whether it can be changed here, without a restart."`
	Secret  bool   `json:"secret" doc:"Whether its value is never shown."`

	Type    string   `json:"type" enum:"text,number,boolean,duration,size,choice,list,secret" doc:"How the value is written."`
	Choices []string `json:"choices,omitempty" doc:"The values of a choice."`
	Min     *int64   `json:"min,omitempty" doc:"Lowest number; seconds for a duration."`
	Max     *int64   `json:"max,omitempty" doc:"Highest number; seconds for a duration."`
	Want    string   `json:"want" doc:"What a value must be, in words."`
	Example string   `json:"example" doc:"A value that would be taken."`
	Group   Text     `json:"group" doc:"What it belongs to."`
	Help    Text     `json:"help" doc:"What it is for."`
	Unused  *Text    `json:"unused,omitempty" doc:"Why this version does nothing with it."`
}

// Text is a text in both languages.
type Text struct {
	En string `json:"en" doc:"In English."`
	Zh string `json:"zh" doc:"In simplified Chinese."`
}

// SettingFaults is why a change of settings was refused.
type SettingFaults struct {
	Faults []SettingFault
}

// SettingFault is what is wrong with one value. It does not repeat secrets.
type SettingFault struct{ Name, Fault string }

// Error says how many there are.
func (f *SettingFaults) Error() string {
	return "settings refused: " + f.Faults[0].Name + ": " + f.Faults[0].Fault
}

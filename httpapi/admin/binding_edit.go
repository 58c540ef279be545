package admin

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// registerBindingEdits adds what changes one binding.
func (a *API) registerBindingEdits() {
	handle(a, operation{
		method: http.MethodPost, path: "/bindings", id: "create-binding", tag: bindingTag, role: account.Operator,
		summary: "Bind a key ahead of its first use", status: http.StatusCreated, errors: []int{http.StatusConflict},
		about: "Give the key, which is hashed here and neither kept nor logged, or its hash (see sentinel hash).",
	}, a.createBinding)
	handle(a, operation{
		method: http.MethodPatch, path: "/bindings/{hash}", id: "edit-binding", tag: bindingTag, role: account.Operator,
		summary: "Change a binding", errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
		about: "Fields that are absent stay as they are. The change is in force on the next request, " +
			"and open streams that it does not let pass are cut.",
	}, a.editBinding)
	handle(a, operation{
		method: http.MethodDelete, path: "/bindings/{hash}", id: "unbind", tag: bindingTag, role: account.Operator,
		summary: "Unbind a key", errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
		about: "Its next accepted use binds it anew, from wherever that is. To bar a key, ban it.",
	}, a.deleteBinding)
}

type newBinding struct {
	Key    string       `json:"key,omitempty" minLength:"1" maxLength:"8192" writeOnly:"true" doc:"The whole API key. Either this or hash."`
	Hash   string       `json:"hash,omitempty" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"The key hash. Either this or key."`
	Hint   string       `json:"hint,omitempty" minLength:"1" maxLength:"64" doc:"A few characters to know the key by. Only with hash; that of a key is made of it." example:"sk-ab…9fQ2"`
	Label  string       `json:"label,omitempty" maxLength:"256" doc:"What you call the key; up to 256 bytes."`
	Note   string       `json:"note,omitempty" maxLength:"4096" doc:"What there is to say of it; up to 4096 bytes, may have several lines."`
	Status store.Status `json:"status,omitempty" enum:"active,banned" default:"active" doc:"A banned key is refused from everywhere."`
	Rule   ruleInput    `json:"rule" doc:"Where the key may be used from."`
}

type createBindingOutput struct {
	ETag
	Location string `header:"Location" doc:"The path of the binding."`
	Body     changedBinding
}

func (a *API) createBinding(ctx context.Context, c *call, in *struct{ Body newBinding }) (*createBindingOutput, error) {
	b, err := a.newBinding(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	b, err = a.opts.Engine.Preset(ctx, b)
	if errors.Is(err, store.ErrConflict) {
		return nil, faultf(http.StatusConflict, "already_bound", "the key is bound already: change its binding instead")
	}
	if err != nil {
		return nil, locate(err, "body.")
	}
	if err := a.audit(ctx, c, "binding.create", bindingTarget(b.Hash), nil, showBinding(b)); err != nil {
		return nil, err
	}
	body := changedBinding{showBinding(b), warningsOf(ruleWarnings(b.Rule))}
	return &createBindingOutput{etagOf(b.Revision), Base + "/bindings/" + b.Hash.String(), body}, nil
}

func (a *API) newBinding(ctx context.Context, in newBinding) (store.Binding, error) {
	var f faults
	b := store.Binding{Label: in.Label, Note: in.Note, Status: in.Status, Rule: in.Rule.rule("body.rule", &f), Hint: in.Hint}
	switch {
	case (in.Key == "") == (in.Hash == ""):
		f.addf("body.key", "give either the key or its hash")
	case in.Key != "" && in.Hint != "":
		f.addf("body.hint", "is made of the key; give it with a hash only")
	case in.Key != "":
		name, err := a.nameKey(ctx, "body.key", in.Key)
		if err != nil {
			return b, err
		}
		b.Hash, b.Hint = name.Hash, name.Hint
	default:
		var err error
		if b.Hash, err = parseHash("body.hash", in.Hash); err != nil {
			return b, err
		}
	}
	return b, f.err()
}

// bindingTarget names a binding in the audit trail.
func bindingTarget(hash store.KeyHash) string { return "binding:" + hash.String() }

type bindingPatch struct {
	Label  *string       `json:"label,omitempty" maxLength:"256" doc:"What you call the key; empty takes it away."`
	Note   *string       `json:"note,omitempty" maxLength:"4096" doc:"What there is to say of it; empty takes it away."`
	Status *store.Status `json:"status,omitempty" enum:"active,banned" doc:"Bans the key, or lets it be used again."`
	Rule   *ruleInput    `json:"rule,omitempty" doc:"Replaces the rule as a whole."`
}

// edit returns what the engine understands. location is where the patch is.
func (p bindingPatch) edit(location string, f *faults) engine.BindingEdit {
	edit := engine.BindingEdit{Label: p.Label, Note: p.Note, Status: p.Status}
	if p.Rule != nil {
		rule := p.Rule.rule(location+".rule", f)
		edit.Rule = &rule
	}
	if reflect.ValueOf(p).IsZero() {
		f.addf(location, "says nothing to change")
	}
	return edit
}

type editBindingInput struct {
	HashPath
	IfMatch
	Body bindingPatch
}

func (a *API) editBinding(ctx context.Context, c *call, in *editBindingInput) (*bindingOutput, error) {
	var f faults
	edit := in.Body.edit("body", &f)
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.edit(ctx, c, in.HashPath, in.IfMatch, edit)
}

// edit changes one binding, and says so to the audit trail, which gets the
// fields that are different only.
func (a *API) edit(ctx context.Context, c *call, path HashPath, match IfMatch, edit engine.BindingEdit) (*bindingOutput, error) {
	hash, err := path.hash()
	if err != nil {
		return nil, err
	}
	if edit.Revision, err = match.revision(); err != nil {
		return nil, err
	}
	before, after, err := a.opts.Engine.Edit(ctx, hash, edit)
	if err != nil {
		return nil, locate(err, "body.")
	}
	if before.Revision != after.Revision {
		was, is := differences(before, after)
		if err := a.audit(ctx, c, editAction(before, after), bindingTarget(hash), was, is); err != nil {
			return nil, err
		}
	}
	out := answerBinding(after)
	if edit.Rule != nil {
		out.Body.Warnings = warningsOf(ruleWarnings(*edit.Rule))
	}
	return out, nil
}

// editAction names an edit in the audit trail.
func editAction(before, after store.Binding) string {
	switch {
	case before.Status == after.Status:
		return "binding.edit"
	case after.Status == store.StatusBanned:
		return "binding.ban"
	default:
		return "binding.unban"
	}
}

// bindingChange is a side of a change in the audit trail; nil fields are the
// same on both.
type bindingChange struct {
	Hash   string        `json:"hash,omitempty"` // where one entry tells of many
	Hint   *string       `json:"hint,omitempty"`
	Label  *string       `json:"label,omitempty"`
	Note   *string       `json:"note,omitempty"`
	Status *store.Status `json:"status,omitempty"`
	Rule   *ruleBody     `json:"rule,omitempty"`
	// Revision is what the change has made of it, where one entry tells of many.
	Revision uint64 `json:"revision,omitempty"`
}

func differences(before, after store.Binding) (was, is bindingChange) {
	if before.Hint != after.Hint {
		was.Hint, is.Hint = &before.Hint, &after.Hint
	}
	if before.Label != after.Label {
		was.Label, is.Label = &before.Label, &after.Label
	}
	if before.Note != after.Note {
		was.Note, is.Note = &before.Note, &after.Note
	}
	if before.Status != after.Status {
		was.Status, is.Status = &before.Status, &after.Status
	}
	if from, to := showRule(before.Rule), showRule(after.Rule); !reflect.DeepEqual(from, to) {
		was.Rule, is.Rule = &from, &to
	}
	return was, is
}

type deleteBindingInput struct {
	HashPath
	IfMatch
}

func (a *API) deleteBinding(ctx context.Context, c *call, in *deleteBindingInput) (*struct{}, error) {
	_, err := a.unbind(ctx, c, in.HashPath, in.IfMatch)
	return nil, err
}

func (a *API) unbind(ctx context.Context, c *call, path HashPath, match IfMatch) (store.Binding, error) {
	hash, err := path.hash()
	if err != nil {
		return store.Binding{}, err
	}
	revision, err := match.revision()
	if err != nil {
		return store.Binding{}, err
	}
	before, err := a.opts.Engine.Unbind(ctx, hash, revision)
	if err != nil {
		return store.Binding{}, err
	}
	return before, a.audit(ctx, c, "binding.unbind", bindingTarget(hash), showBinding(before), nil)
}

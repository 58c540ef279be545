package alert

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
)

// Body is what a webhook gets, as JSON. Later versions may add fields, but
// change none.
type Body struct {
	Version int `json:"version"` // 1
	// ID is the same at every attempt: who has seen it can drop the request.
	ID    string    `json:"id"`
	Event Event     `json:"event"`
	At    time.Time `json:"at"` // of the transition
	Node  string    `json:"node,omitempty"`
	// Alert is as it was then; null for the event "test".
	Alert *Alert `json:"alert"`
	// Title and Text say it to people, in the language of the channel.
	Title string `json:"title"`
	Text  string `json:"text"`
	Link  string `json:"link,omitempty"` // to the console
}

// shownAddresses is how many addresses a message names.
const shownAddresses = 5

// brand begins the title of all messages: bots that take only messages with a
// keyword can be given it.
const brand = "Sentinel: "

// languageLocked is that of a channel.
func (c *Center) languageLocked(r *receiver) *words {
	l := r.Language
	if l == "" {
		l = c.settings.Language
	}
	if l == Chinese {
		return &chinese
	}
	return &english
}

// messageLocked makes one message of deliveries.
func (c *Center) messageLocked(r *receiver, batch []*row[deliveryRecord]) send.Message {
	w := c.languageLocked(r)
	m := send.Message{ID: batch[0].id, Level: send.Resolved, More: func(n int) string { return fmt.Sprintf(w.more, n) }}
	c.link(&m, w)
	for _, b := range batch {
		d := &b.value
		m.Sections = append(m.Sections, w.section(d))
		if level := levelOf(d); severity[level] > severity[m.Level] {
			m.Level = level
		}
	}
	m.Title = brand + m.Sections[0].Title
	if len(batch) > 1 {
		m.Title = brand + fmt.Sprintf(w.several, len(batch))
	}
	if r.Type == send.Webhook {
		d := &batch[0].value
		c.fillBody(&m, Body{ID: m.ID, Event: d.Event, At: d.At, Alert: d.Alert})
	}
	return m
}

// testMessageLocked makes a message that says that the channel works.
func (c *Center) testMessageLocked(r *receiver) send.Message {
	w := c.languageLocked(r)
	now := c.stamp()
	m := send.Message{
		ID: fmt.Sprintf("test.%d.%s", now.UnixMilli(), r.id), Level: send.Info, Title: brand + w.testTitle,
		Sections: []send.Section{{Title: w.testTitle, Facts: c.testFacts(w, r, now), Advice: w.testAdvice}},
	}
	c.link(&m, w)
	if r.Type == send.Webhook {
		c.fillBody(&m, Body{ID: m.ID, Event: Tested, At: now})
	}
	return m
}

func (c *Center) testFacts(w *words, r *receiver, now time.Time) []send.Fact {
	facts := []send.Fact{{Name: w.channel, Value: r.id}, {Name: w.at, Value: moment(now)}}
	if c.node != "" {
		facts = append(facts, send.Fact{Name: w.node, Value: c.node})
	}
	return facts
}

func (c *Center) link(m *send.Message, w *words) {
	if c.console != "" {
		m.LinkText, m.LinkURL = w.console, c.console
	}
}

func (c *Center) fillBody(m *send.Message, b Body) {
	b.Version, b.Node, b.Title, b.Text, b.Link = 1, c.node, m.Title, send.Text(*m), c.console
	m.Body, _ = json.Marshal(b) // of strings, numbers and times of this century: cannot fail
}

var severity = map[send.Level]int{send.Info: 1, send.Resolved: 0, send.Warning: 2, send.Critical: 3}

func levelOf(d *deliveryRecord) send.Level {
	switch {
	case d.Event == Ended:
		return send.Resolved
	case d.Kind == StoreFailing || d.Kind == DownstreamFailing:
		return send.Critical
	case d.Kind == NewBinding:
		return send.Info
	}
	return send.Warning
}

// section says what happened, to whom, from where, how often, and what to do.
func (w *words) section(d *deliveryRecord) send.Section {
	a := d.Alert
	if a == nil { // cannot be: it is there until the delivery has arrived
		a = &Alert{Kind: d.Kind}
	}
	s := send.Section{Title: w.titleOf(d.Event, a), Advice: w.advice[a.Kind]}
	add := func(name, value string) {
		if value != "" {
			s.Facts = append(s.Facts, send.Fact{Name: name, Value: value})
		}
	}
	if !a.Subject.Hash.IsZero() {
		add(w.key, a.Subject.name()+", "+a.Subject.Hash.String()[:12]+"…")
	}
	add(w.account, a.Subject.Account)
	add(w.from, addresses(a.Evidence.Addresses))
	add(w.networks, networks(a.Evidence.Networks))
	if a.Evidence.Minutes > 0 {
		add(w.period, fmt.Sprintf(w.minutes, a.Evidence.Minutes))
	}
	if a.Evidence.Bindings > 0 {
		add(w.bindings, fmt.Sprintf(w.inAnHour, a.Evidence.Bindings))
	}
	add(w.lastKey, a.Evidence.Hint)
	if !a.Kind.isMoment() || a.Subject.Collective {
		add(w.count, fmt.Sprintf(w.countSince, a.Count, moment(a.OpenedAt)))
	}
	add(w.path, strings.TrimSpace(a.Evidence.Method+" "+a.Evidence.Path))
	reason := w.reasons[a.Evidence.Reason]
	if a.Evidence.Observed {
		reason += w.observed
	}
	add(w.reason, reason)
	add(w.reason, w.held[a.Evidence.Held])
	add(w.cause, a.Evidence.Error)
	if !a.Evidence.ArchivedBefore.IsZero() {
		add(w.archived, moment(a.Evidence.ArchivedBefore))
	}
	add(w.last, moment(a.LastAt))
	add(w.node, a.Node)
	if d.Event == Ended {
		s.Advice = ""
	}
	return s
}

func (w *words) titleOf(e Event, a *Alert) string {
	title := w.titles[a.Kind]
	if a.Subject.Collective {
		title = fmt.Sprintf(w.collective[a.Kind], a.Subjects)
	} else if strings.Contains(title, "%s") {
		title = fmt.Sprintf(title, a.Subject.name())
	}
	return w.prefixes[e] + title
}

// name is what people know a subject by.
func (s Subject) name() string {
	switch {
	case s.Label != "":
		return s.Label + " (" + s.Hint + ")"
	case s.Hint != "":
		return s.Hint
	case s.Network.IsValid() && s.Network.IsSingleIP():
		return s.Network.Addr().String()
	case s.Network.IsValid():
		return s.Network.String()
	}
	return s.Account
}

func addresses(counts []AddressCount) string {
	var parts []string
	for i, c := range counts {
		if i == shownAddresses {
			parts = append(parts, "…")
			break
		}
		part := c.Address.String()
		if c.Count > 1 {
			part += " ×" + strconv.FormatUint(c.Count, 10)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

func networks(all []netip.Prefix) string {
	var parts []string
	for i, n := range all {
		if i == shownAddresses {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, Subject{Network: n}.name())
	}
	return strings.Join(parts, ", ")
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

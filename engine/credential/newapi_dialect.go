package credential

import "strings"

// dialect is one version of the downstream, as a function from what the places
// hold to the key that is used.
type dialect struct {
	protocolSlot   int // of Sec-WebSocket-Protocol; -1 if it is not read
	apiKeyMessages bool
	apiKeyModels   bool
	isModels       func(path string) bool // where ?key= and x-goog-api-key are read; nil for nowhere
	midjourney     bool
	logQuery       bool // reads ?key= on /api/log/token
	openAIOnly     bool // has neither the routes of Anthropic nor those of Gemini
}

// newAPIDialects begins with the newest.
var newAPIDialects = [...]dialect{
	{ // New API, August 2026
		protocolSlot: newAPIProtocol, apiKeyMessages: true, apiKeyModels: true, isModels: isModelsNow, midjourney: true,
	},
	{ // spring 2026
		protocolSlot: newAPIOldProtocol, apiKeyMessages: true, apiKeyModels: true, isModels: isModelsNow, midjourney: true,
	},
	{ // February 2026
		protocolSlot: newAPIOldProtocol, apiKeyMessages: true, apiKeyModels: true, isModels: isModels2025, midjourney: true, logQuery: true,
	},
	{ // April 2025
		protocolSlot: newAPIOldProtocol, apiKeyMessages: true, isModels: isModelsFirst, midjourney: true, logQuery: true,
	},
	{ // 2024
		protocolSlot: -1, midjourney: true, logQuery: true, openAIOnly: true,
	},
	{ // One API
		protocolSlot: -1, openAIOnly: true,
	},
}

func isModelsNow(path string) bool { return path == "/v1/models" || isModels2025(path) }

func isModels2025(path string) bool {
	return strings.HasPrefix(path, "/v1beta/models") || strings.HasPrefix(path, "/v1beta/openai/models") ||
		strings.HasPrefix(path, "/v1/models/")
}

func isModelsFirst(path string) bool {
	return strings.HasPrefix(path, "/v1beta/models/") || strings.HasPrefix(path, "/v1/models/")
}

// view is what the downstream sees of a set: all of it, or what StripOthers
// leaves of it.
type view struct {
	set  *Set
	keep int // -1 for all
}

func (v view) at(slot int) reading {
	place := slot
	if slot == newAPIOldProtocol {
		place = newAPIProtocol
	}
	if v.keep >= 0 && place != newAPIQuery && v.set.masks[place]&^(1<<v.keep) != 0 {
		return reading{}
	}
	return v.set.at[slot]
}

// choose returns the index of the key that this version uses, or -1. A rule
// holds if it does for a or for b.
func (d *dialect) choose(v view, a, b string) int {
	if isReadOnly(a) || isReadOnly(b) {
		if d.logQuery && (isLogOfToken(a) || isLogOfToken(b)) && v.at(newAPIQuery).present {
			return v.at(newAPIQuery).index()
		}
		return v.at(newAPIAuthorization).index()
	}
	used := v.at(newAPIAuthorization)
	overwrite := func(slot int) {
		if r := v.at(slot); r.present {
			used = r
		}
	}
	if d.protocolSlot >= 0 {
		overwrite(d.protocolSlot)
	}
	contains := func(part string) bool { return strings.Contains(a, part) || strings.Contains(b, part) }
	if d.apiKeyMessages && contains("/v1/messages") || d.apiKeyModels && contains("/v1/models") {
		overwrite(newAPIKey)
	}
	if d.isModels != nil && (d.isModels(a) || d.isModels(b)) {
		overwrite(newAPIQuery)
		overwrite(newAPIGoogle)
	}
	if d.midjourney && (!used.present || used.blank) {
		used = v.at(newAPIMidjourney)
	}
	return used.index()
}

// serves reports whether this version has a route for the path.
func (d *dialect) serves(path string) bool {
	return !d.openAIOnly || !strings.Contains(path, "/v1/messages") && !strings.HasPrefix(path, "/v1beta")
}

// settleNewAPI finds the primary key.
//
// One key is the primary one wherever it is: if the downstream accepts the
// request for a key, it is this. Of several it is the one that the newest
// version uses, unless that cannot be a key of New API and exactly one that
// another version uses can: a dummy was not what succeeded. The set is
// ambiguous if any version uses another one, or if it holds several that could
// be keys: versions to come and forks read more places than are known here.
func (r *Reader) settleNewAPI(req *Request, s *Set) {
	if req.anyPath(isVideoContent) || r.bindDashboard && req.anyPath(isAPI) {
		// A login would do here in place of a key (TokenOrUserAuth, UserAuth).
		if s.dashboard {
			return
		}
		if len(req.Header["Cookie"]) > 0 {
			s.cookie, s.ambiguous = true, true
		}
	}
	switch {
	case s.at[newAPIAccessToken].present:
		s.primary = s.at[newAPIAccessToken].index()
		s.ambiguous = s.ambiguous || s.n > 1
	case s.n == 1 && !s.dashboard:
		s.primary = 0
	default:
		s.compareDialects(req)
	}
}

// comparison gathers what the dialects choose.
type comparison struct {
	newest    int
	primary   int
	plausible int // the only choice that could be a key; -1 if none
	several   bool
	differ    bool
}

func (c *comparison) add(s *Set, choice int) {
	if choice < 0 {
		return
	}
	if c.primary < 0 {
		c.primary = choice
	}
	c.differ = c.differ || choice != c.newest
	if choice != c.plausible && plausibleNewAPI(s.spelled[choice]) {
		c.several = c.plausible >= 0
		c.plausible = choice
	}
}

func (s *Set) compareDialects(req *Request) {
	path, sent := req.Path, req.SentPath
	if sent == "" {
		sent = path
	}
	all := view{s, -1}
	newest := newAPIDialects[0].choose(all, path, sent)
	c := comparison{newest: newest, primary: newest, plausible: -1}
	c.add(s, newest)
	eachChoice(all, path, sent, func(choice int) { c.add(s, choice) })
	if c.plausible >= 0 && !c.several {
		c.primary = c.plausible
	}
	if c.primary < 0 && !s.dashboard {
		c.primary, c.differ = s.firstPlausible(), true // a version that reads it here is not known
	}
	s.primary = c.primary
	s.ambiguous = s.ambiguous || c.differ || s.countPlausible() > 1
	if s.ambiguous && s.primary >= 0 {
		s.preferQuery(path, sent)
	}
}

// preferQuery makes the key of the query the primary one if a version would
// use it once StripOthers has removed what goes before it.
//
// Threat: a dummy in x-goog-api-key hides the stolen key in the query from the
// comparison, and is then removed. Answer: the query is what cannot be removed,
// so that what it holds decides.
func (s *Set) preferQuery(path, sent string) {
	inQuery := s.at[newAPIQuery].index()
	if inQuery < 0 || plausibleNewAPI(s.spelled[s.primary]) && !plausibleNewAPI(s.spelled[inQuery]) {
		return
	}
	used := false
	left := view{s, s.primary}
	eachChoice(left, path, sent, func(choice int) { used = used || choice == inQuery })
	if used {
		s.primary = inQuery
	}
}

// eachChoice calls do with what each version uses that has a route for the path
// or the sent path.
func eachChoice(v view, path, sent string, do func(choice int)) {
	for i := range newAPIDialects {
		d := &newAPIDialects[i]
		if d.serves(path) {
			do(d.choose(v, path, path))
		}
		if sent != path && d.serves(sent) {
			do(d.choose(v, sent, sent))
		}
	}
}

func (s *Set) countPlausible() int {
	n := 0
	for _, key := range s.spelled[:s.n] {
		if plausibleNewAPI(key) {
			n++
		}
	}
	return n
}

func (s *Set) firstPlausible() int {
	for i, key := range s.spelled[:s.n] {
		if plausibleNewAPI(key) {
			return i
		}
	}
	return 0
}

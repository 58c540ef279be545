package credential

import "strings"

// Slots of profile newapi. The last two are further readings of two headers.
const (
	newAPIAuthorization = iota
	newAPIProtocol
	newAPIKey
	newAPIQuery
	newAPIGoogle
	newAPIMidjourney
	newAPIOldProtocol // Sec-WebSocket-Protocol as versions before mid-2026 read it
	newAPIAccessToken // Authorization as the dashboard reads it
)

var newAPIPlaces = []place{
	newAPIAuthorization: header("Authorization"),
	newAPIProtocol:      protocol(protocolPrefix),
	newAPIKey:           header("x-api-key"),
	newAPIQuery:         query("key"),
	newAPIGoogle:        header("x-goog-api-key"),
	newAPIMidjourney:    header("mj-api-secret"),
}

// stripBearer removes the scheme and the spaces around what is left. net/http
// has removed spaces and tabs around a header's value; a parameter has them.
func stripBearer(value string) string {
	value = strings.Trim(value, " \t")
	if rest, ok := strings.CutPrefix(value, "Bearer "); ok {
		value = rest
	} else if rest, ok := strings.CutPrefix(value, "bearer "); ok {
		value = rest
	}
	return strings.TrimSpace(value)
}

// isBlank reports whether New API looks at mj-api-secret instead.
func isBlank(rest string) bool { return rest == "" || rest == "midjourney-proxy" }

// cutNewAPI returns the canonical key of what stripBearer left, in the case it
// has; "" if there is none.
func cutNewAPI(rest string) string {
	rest = strings.TrimPrefix(rest, "sk-")
	key, _, _ := strings.Cut(rest, "-")
	// Threat: "sk-KEY -1" names the key "KEY ", which MySQL's padding
	// collations and PostgreSQL's char(48) find as KEY.
	key = strings.TrimRight(key, " ")
	if len(key) == len("bearer") && strings.EqualFold(key, "bearer") {
		return "" // only a scheme
	}
	return key
}

// plausibleNewAPI reports whether a canonical key could be one that New API or
// One API gave out.
func plausibleNewAPI(key string) bool {
	if len(key) != 48 {
		return false
	}
	for i := range len(key) {
		c := key[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// readAuthorization tells login tokens of the dashboard from keys.
func (r *Reader) readAuthorization(req *Request, set *Set, p *place, value string) error {
	if isLoginToken(value) {
		set.dashboard = true
		set.at[newAPIAuthorization].present = true
		return nil
	}
	if err := r.note(set, newAPIAuthorization, p, value); err != nil {
		return err
	}
	if !r.bindDashboard || !req.anyPath(isAPI) || req.anyPath(isReadOnly) {
		return nil
	}
	token := accessToken(value)
	if token == "" {
		return nil
	}
	i, err := set.add(token, p)
	if err != nil {
		return err
	}
	set.at[newAPIAccessToken] = reading{present: true, key: uint8(i + 1)} //nolint:gosec // at most MaxKeys
	// The header is the access token's: as a key nobody reads it here.
	set.masks[newAPIAuthorization] = 1 << i
	return nil
}

// readNewAPIProtocol reads the subprotocols. Newer versions take the first part
// with the prefix, older ones the first that begins like it, or else the whole
// header. A key in any further part is found too.
func (r *Reader) readNewAPIProtocol(set *Set, p *place, value string) error {
	if value == "" {
		return nil
	}
	old, oldDone, newDone := reading{}, false, false
	for rest := value; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		part = strings.TrimSpace(part)
		if !strings.HasPrefix(part, strings.TrimSuffix(protocolPrefix, ".")) {
			continue
		}
		found := reading{}
		if key, ok := strings.CutPrefix(part, protocolPrefix); ok {
			var err error
			if found, err = r.read(set, newAPIProtocol, p, key); err != nil {
				return err
			}
			if !newDone {
				set.at[newAPIProtocol], newDone = found, true
			}
		}
		if !oldDone {
			old, oldDone = found, true
		}
	}
	if !oldDone {
		var err error
		if old, err = r.readWholeProtocol(set, p, value); err != nil {
			return err
		}
	}
	old.present = true // older versions overwrite Authorization with whatever they found
	set.at[newAPIOldProtocol] = old
	return nil
}

func (r *Reader) readWholeProtocol(set *Set, p *place, value string) (reading, error) {
	rest := stripBearer(value)
	// What cannot be a key: the names of protocols, and lists of several.
	if isProtocolName(rest) || strings.ContainsAny(cutNewAPI(rest), ", ") {
		return reading{}, nil
	}
	return r.read(set, newAPIProtocol, p, value)
}

// isProtocolName reports whether the whole header is one subprotocol that
// clients of these APIs offer.
func isProtocolName(s string) bool {
	return s == "realtime" || s == "responses" || s == "gemini-live" || strings.HasPrefix(s, "openai-beta.")
}

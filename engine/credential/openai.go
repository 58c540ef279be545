package credential

import "strings"

const (
	openAIAuthorization = iota
	openAIXAPIKey
)

// openAIPlaces is in the order in which servers of the OpenAI API prefer them.
var openAIPlaces = []place{
	openAIAuthorization: header("Authorization"),
	openAIXAPIKey:       header("x-api-key"),
	2:                   header("api-key"),
	3:                   header("x-goog-api-key"),
	4:                   protocol(protocolPrefix),
	5:                   query("key"),
}

// canonicalOpenAI removes the scheme, in any case.
func canonicalOpenAI(value string) string {
	const scheme = "bearer"
	value = strings.Trim(value, " \t")
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return value
	}
	rest := strings.Trim(value[len(scheme):], " \t")
	if rest == "" || len(rest) < len(value)-len(scheme) {
		return rest
	}
	return value // the key itself begins like a scheme
}

// plausibleOpenAI reports whether a key could be a real one rather than a dummy
// such as EMPTY, sk-xxx or no-key-required.
func plausibleOpenAI(key string) bool {
	const enoughBytes, enoughDistinct = 20, 8
	if len(key) < enoughBytes {
		return false
	}
	var seen [2]uint64
	distinct := 0
	for i := range len(key) {
		c := key[i] & 127
		if bit := uint64(1) << (c & 63); seen[c>>6]&bit == 0 {
			seen[c>>6] |= bit
			distinct++
		}
	}
	return distinct >= enoughDistinct
}

// settleOpenAI finds the primary key. Servers differ in their order, so that of
// several keys all others are to be removed.
func (r *Reader) settleOpenAI(req *Request, s *Set) {
	r.settleInOrder(s)
	if s.n == 1 {
		return
	}
	if key := s.at[openAIXAPIKey].index(); key >= 0 && req.anyPath(isMessages) {
		s.primary = key
	}
	if plausibleOpenAI(s.spelled[s.primary]) {
		return
	}
	only := -1
	for i, key := range s.spelled[:s.n] {
		if plausibleOpenAI(key) {
			if only >= 0 {
				return
			}
			only = i
		}
	}
	if only >= 0 {
		s.primary = only
	}
}

// isMessages reports whether the path is of Anthropic's API, which reads
// x-api-key first.
func isMessages(path string) bool { return strings.Contains(path, "/messages") }

// openAIChecks reports whether the path is of one of the APIs: it has a segment
// such as v1 or v1beta, or ends in the name of an endpoint. Other paths, such as
// those for health and documentation, are public on many servers.
func openAIChecks(path string) bool {
	for rest := path; rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if isVersion(segment) || segment == "openai" {
			return true
		}
	}
	for _, endpoint := range [...]string{
		"/completions", "/embeddings", "/responses", "/messages", "/models", "/moderations", "/rerank", "/realtime",
		"/images/generations", "/images/edits", "/audio/speech", "/audio/transcriptions", "/audio/translations", "/files", "/batches",
	} {
		if strings.HasSuffix(path, endpoint) {
			return true
		}
	}
	return false
}

func isVersion(segment string) bool {
	return len(segment) >= 2 && segment[0] == 'v' && '0' <= segment[1] && segment[1] <= '9'
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/redis"
)

// text is a text in both languages of the documentation.
type text struct{ en, zh string }

// form is how values of one type are written.
type form[T any] struct {
	name  text   // of the type
	want  string // completes "want …" in a fault
	parse func(string) (T, error)
	shape shape
}

// shape is what a client needs to know to draw the field of a form; the words
// are those of admin.Setting.
type shape struct {
	kind     string
	choices  []string // of a choice
	min, max *int64   // of a number; of a duration in seconds; nil: none
}

var (
	plainText  = shape{kind: "text"}
	textList   = shape{kind: "list"}
	wholeSize  = shape{kind: "size"}
	trueFalse  = shape{kind: "boolean"}
	hiddenText = shape{kind: "secret"}
)

// boundForm is a form together with the field of Config that it fills.
type boundForm struct {
	name  text
	want  string
	shape shape
	isSet bool // the bare flag means true
	set   func(*Config, string) error
}

func into[T any](f form[T], field func(*Config) *T) boundForm {
	_, isBool := any(f).(form[bool])
	return boundForm{name: f.name, want: f.want, shape: f.shape, isSet: isBool, set: func(c *Config, value string) error {
		parsed, err := f.parse(value)
		if err == nil {
			*field(c) = parsed
		}
		return err
	}}
}

var (
	sizes = form[int64]{text{"size", "大小"}, "bytes or KiB/MiB/GiB", parseSize, wholeSize}
	bools = form[bool]{text{"boolean", "布尔"}, "true or false", parseBool, trueFalse}

	downstreamURLs = form[*url.URL]{text{"URL", "URL"}, "http:// or https://, a host and perhaps a path", parseDownstreamURL, plainText}
	publicURLs     = form[string]{text{"URL", "URL"}, "http:// or https://, a host and perhaps a path", checkedBy(parseDownstreamURL), plainText}
	webhookURLs    = form[secretText]{text{"URL", "URL"}, "an http:// or https:// URL", parseWebhookURL, hiddenText}
	postgresURLs   = form[secretText]{text{"URL", "URL"}, "a postgresql:// URL with a host", parsePostgresURL, hiddenText}
	nodeNames      = form[string]{text{"name", "名称"}, "up to 64 letters, digits, dots, hyphens and underscores", parseNodeName, plainText}
	redisAddrs     = form[secretText]{text{"host:port", "主机:端口"}, "host:port, a redis:// or rediss:// URL, or several host:port", parseRedisAddr, hiddenText}
	redisNames     = form[string]{text{"name", "名称"}, "a name without spaces", parseRedisName, plainText}
	listenAddrs    = form[string]{text{"host:port", "主机:端口"}, "host:port or :port", parseListen, plainText}
	prefixLists    = form[[]netip.Prefix]{text{"list of prefixes", "网段列表"}, "addresses or prefixes, separated by commas", parsePrefixes, textList}
	headerNames    = form[string]{text{"header name", "请求头名"}, "the name of a header", parseHeaderName, plainText}
	clientHeaders  = form[string]{text{"header name", "请求头名"}, "the name of a header that holds addresses", parseClientHeader, plainText}
	pathPrefixes   = form[[]string]{text{"list of paths", "路径列表"}, "paths that begin with /, separated by commas", parsePaths, textList}
	locationLists  = form[string]{text{"list", "列表"}, "header:NAME, query:NAME or subprotocol:PREFIX, separated by commas", checkedBy(credential.ParseLocations), textList}
	canonicalForms = form[string]{text{"list", "列表"}, "bearer, trim, strip:TEXT, cut:TEXT or lower, separated by commas", checkedBy(credential.ParseCanonical), textList}
	filePaths      = form[string]{text{"path", "路径"}, "a path", parseText, plainText}
	secretMarks    = form[string]{text{"mark", "标记"}, "8 hex digits", parseSecretMark, plainText}
	ownSecrets     = form[secretText]{text{"secret", "密钥"}, "32 random bytes", parseOwnSecret, hiddenText}
	foreignSecrets = form[secretText]{text{"secret", "密钥"}, "the password that the server was given", parseForeignSecret, hiddenText}
	logLevels      = form[slog.Level]{text{"debug, info, warn, error", "debug、info、warn、error"}, "debug, info, warn or error", parseLevel, shape{kind: "choice", choices: []string{"debug", "info", "warn", "error"}}}
)

func integers(lowest, highest int) form[int] {
	want := fmt.Sprintf("a whole number from %d to %d", lowest, highest)
	bounds := shape{kind: "number", min: new(int64(lowest)), max: new(int64(highest))}
	if highest == math.MaxInt32 {
		want = fmt.Sprintf("a whole number, %d or more", lowest)
	}
	return form[int]{text{"number", "整数"}, want, func(value string) (int, error) {
		n, err := strconv.Atoi(value)
		switch {
		case err != nil && strings.HasPrefix(value, "tcp://"):
			return 0, errors.New("is what Kubernetes sets for a Service of that name (enableServiceLinks: false in the pod turns it off)")
		case err != nil:
			return 0, errors.New("not a number")
		case n < lowest || n > highest:
			return 0, errors.New("out of range")
		}
		return n, nil
	}, bounds}
}

// longestDays is a century: longer periods are a slip of the finger, and 0 means
// for ever.
const longestDays = 36500

var days = integers(0, longestDays)

var lockKeys = form[int64]{text{"number", "整数"}, "a whole number of 64 bits", func(value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, errors.New("not a number")
	}
	return n, nil
}, shape{kind: "number"}}

// choices accepts the words given, in any case.
func choices[T ~string](words ...T) form[T] {
	shown := make([]string, len(words))
	for i, w := range words {
		shown[i] = string(w)
	}
	last := len(shown) - 1
	want := strings.Join(shown[:last], ", ") + " or " + shown[last]
	return form[T]{text{strings.Join(shown, ", "), strings.Join(shown, "、")}, want, func(value string) (T, error) {
		if i := slices.Index(shown, strings.ToLower(value)); i >= 0 {
			return words[i], nil
		}
		return "", errors.New("unknown value")
	}, shape{kind: "choice", choices: shown}}
}

// durations accepts "90s", "1m30s" and bare seconds, from shortest on.
func durations(shortest time.Duration) form[time.Duration] {
	want := "a number of seconds, or one with ms, s, m or h"
	return form[time.Duration]{text{"duration", "时长"}, want, func(value string) (time.Duration, error) {
		d, err := time.ParseDuration(value)
		if seconds, bareErr := strconv.ParseInt(value, 10, 32); bareErr == nil {
			d, err = time.Duration(seconds)*time.Second, nil
		}
		switch {
		case err != nil:
			return 0, errors.New("not a duration")
		case d < 0:
			return 0, errors.New("negative")
		case d < shortest:
			return 0, fmt.Errorf("shorter than %s", shortest)
		}
		return d, nil
	}, shape{kind: "duration", min: new(int64(shortest / time.Second))}}
}

var sizeUnits = map[string]int64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

func parseSize(value string) (int64, error) {
	digits := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, known := sizeUnits[strings.ToLower(value[len(digits):])]
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	switch {
	case err != nil || !known || n < 0:
		return 0, errors.New("not a size")
	case n > math.MaxInt64/unit:
		return 0, errors.New("too large")
	}
	return n * unit, nil
}

func parseBool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "true", "1", "yes", "on", "t", "y":
		return true, nil
	case "false", "0", "no", "off", "f", "n":
		return false, nil
	}
	return false, errors.New("neither true nor false")
}

func parseLevel(value string) (slog.Level, error) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "warning": slog.LevelWarn, "error": slog.LevelError,
	}
	level, known := levels[strings.ToLower(value)]
	if !known {
		return 0, errors.New("unknown level")
	}
	return level, nil
}

// parseHTTPURL reads an absolute URL. Faults do not repeat the text, which may
// hold a password.
func parseHTTPURL(value string) (*url.URL, error) {
	u, err := url.Parse(value)
	switch {
	case err != nil && !strings.Contains(value, "://"):
		return nil, errors.New("has no http:// or https:// in front")
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme == "" || u.Host == "" && u.Opaque != "":
		return nil, errors.New("has no http:// or https:// in front")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("has the scheme %q", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.Port() != "" && !isPort(u.Port()) || strings.HasSuffix(u.Host, ":"):
		return nil, errors.New("has a bad port")
	}
	return u, nil
}

func parseDownstreamURL(value string) (*url.URL, error) {
	u, err := parseHTTPURL(value)
	switch {
	case err != nil:
		return nil, err
	case u.User != nil:
		return nil, errors.New("has a user name, which would overwrite the clients' credentials")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("has a query")
	case u.Fragment != "" || strings.Contains(value, "#"):
		return nil, errors.New("has a fragment")
	}
	return u, nil
}

func parseWebhookURL(value string) (secretText, error) {
	if _, err := parseHTTPURL(value); err != nil {
		return "", err
	}
	return secretText(value), nil
}

func parsePostgresURL(value string) (secretText, error) {
	u, err := url.Parse(value)
	if err != nil {
		return "", errors.New("not a URL (characters such as @ / # in the password are written %40 %2F %23)")
	}
	if driver, _, _ := strings.Cut(u.Scheme, "+"); driver != "postgresql" && driver != "postgres" {
		return "", errors.New("not a postgresql:// URL")
	}
	if u.Host == "" && u.Query().Get("host") == "" {
		return "", errors.New("has no host")
	}
	return secretText(value), nil
}

func parseNodeName(value string) (string, error) { return value, checkNodeName(value) }

const maxNodeName = 64

// checkNodeName returns why a text cannot be the name of a node. Host names can.
func checkNodeName(name string) error {
	isOther := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r)
	}
	switch {
	case name == "" || len(name) > maxNodeName:
		return fmt.Errorf("has %d bytes, and may have up to %d", len(name), maxNodeName)
	case strings.ContainsFunc(name, isOther):
		return errors.New("has other characters")
	}
	return nil
}

// parseRedisAddr checks what can be checked without the other settings of Redis.
func parseRedisAddr(value string) (secretText, error) {
	err := redis.Server{Addresses: value}.Validate()
	if err != nil && !strings.Contains(err.Error(), "without a password") { // which is REDIS_PASSWORD
		fault, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), store.ErrInvalid.Error()+": "), ", want one")
		return "", errors.New(fault)
	}
	return secretText(value), nil
}

func parseRedisName(value string) (string, error) {
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", errors.New("has a space or a control character in it")
	}
	return value, nil
}

func parseListen(value string) (string, error) {
	host, port, err := net.SplitHostPort(value)
	switch {
	case err != nil && isPort(value):
		return "", fmt.Errorf("a port alone: did you mean :%s?", value)
	case err != nil:
		return "", errors.New("not host:port")
	case port != "0" && !isPort(port):
		return "", errors.New("has a bad port")
	case strings.ContainsAny(host, "/ "):
		return "", errors.New("has a bad host")
	}
	return value, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// parsePrefixes also takes a JSON list of strings, which is how the earlier
// deployment wrote lists.
func parsePrefixes(value string) ([]netip.Prefix, error) {
	items, err := jsonList(value)
	if err != nil {
		return nil, err
	}
	return ipset.ParseList(strings.Join(items, "\n"))
}

// jsonList returns the strings of a JSON list, or other text as its only item.
func jsonList(value string) ([]string, error) {
	if !strings.HasPrefix(value, "[") || strings.HasPrefix(value, "[:") {
		return []string{value}, nil
	}
	var items []string
	if err := json.Unmarshal([]byte(value), &items); err != nil {
		return nil, errors.New("not a JSON list of strings")
	}
	return items, nil
}

func parsePaths(value string) ([]string, error) {
	var paths []string
	for path := range strings.FieldsFuncSeq(value, isListSeparator) {
		if !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("%q does not begin with /", path)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func isListSeparator(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }

func parseHeaderName(value string) (string, error) {
	valid := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return !valid(r) }) {
		return "", errors.New("not a header name")
	}
	return value, nil
}

func parseClientHeader(value string) (string, error) {
	if _, err := clientip.New(clientip.Options{Header: value}); err != nil {
		return "", err
	}
	return value, nil
}

func parseText(value string) (string, error) {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' }) {
		return "", errors.New("has control characters")
	}
	return value, nil
}

// checkedBy accepts the texts that parse reads, and leaves the reading to those
// who use them.
func checkedBy[T any](parse func(string) (T, error)) func(string) (string, error) {
	return func(value string) (string, error) {
		_, err := parse(value)
		return value, err
	}
}

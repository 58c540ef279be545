package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// dotenvEntry is one assignment in a .env file.
type dotenvEntry struct {
	name, value string
	line        int // where it begins, from 1
}

// The grammar of .env files, as python-dotenv has it, so that a file written
// for the earlier Python deployment reads the same here: # begins a comment
// only after white space, backslashes mean something only in quotes, quoted
// values may span lines. What differs: ${NAME} is not expanded, since a secret
// may hold it, and a line that is no assignment is a fault, not skipped.
var (
	dotenvBlank        = regexp.MustCompile(`^[\t-\r\x1c-\x20\x{85}\p{Z}]*`)
	dotenvExport       = regexp.MustCompile(`^export[\t\v\f\x1c-\x20\x{85}\p{Z}]+`)
	dotenvName         = regexp.MustCompile(`^(?:'([^']+)'|([^=#\t-\r\x1c-\x20\x{85}\p{Z}]+))`)
	dotenvEquals       = regexp.MustCompile(`^[\t\v\f\x1c-\x20\x{85}\p{Z}]*=([\t\v\f\x1c-\x20\x{85}\p{Z}]*)`)
	dotenvSingleQuoted = regexp.MustCompile(`^'((?:\\'|[^'])*)'`)
	dotenvDoubleQuoted = regexp.MustCompile(`^"((?:\\"|[^"])*)"`)
	dotenvUnquoted     = regexp.MustCompile(`^[^\r\n]*`)
	dotenvInline       = regexp.MustCompile(`[\t-\r\x1c-\x20\x{85}\p{Z}]+#.*`)
	dotenvTrailing     = regexp.MustCompile(`[\t-\r\x1c-\x20\x{85}\p{Z}]+$`)
	dotenvEnd          = regexp.MustCompile(`^[\t\v\f\x1c-\x20\x{85}\p{Z}]*(?:#[^\r\n]*)?(?:\r\n|\n|\r|$)`)
	dotenvRest         = regexp.MustCompile(`^[^\r\n]*(?:\r\n|\n|\r|$)`)
	dotenvNewline      = regexp.MustCompile(`\r\n|\n|\r`)
	dotenvSingleEscape = regexp.MustCompile(`\\[\\']`)
	dotenvDoubleEscape = regexp.MustCompile(`\\[\\'"abfnrtv]`)
)

var dotenvEscapes = map[string]string{
	`\\`: `\`, `\'`: `'`, `\"`: `"`, `\a`: "\a", `\b`: "\b", `\f`: "\f", `\n`: "\n", `\r`: "\r", `\t`: "\t", `\v`: "\v",
}

// readDotenv reads a file. A file that is not there is an empty one, unless it
// was named. Faults tell the line, never what stands there: it may be a secret.
func readDotenv(path string, named bool) ([]dotenvEntry, []error) {
	raw, err := os.ReadFile(path) //nolint:gosec // G304: the person who starts the program names the file
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		return nil, nil
	case err != nil:
		return nil, []error{fmt.Errorf("settings file: %w", err)}
	}
	entries, faults := parseDotenv(raw)
	for i, fault := range faults {
		faults[i] = fmt.Errorf("%s %w", path, fault)
	}
	return entries, faults
}

// parseDotenv returns the assignments in the order of the text, a name once for
// each time it stands there.
func parseDotenv(raw []byte) ([]dotenvEntry, []error) {
	switch {
	case bytes.HasPrefix(raw, []byte("\xff\xfe")), bytes.HasPrefix(raw, []byte("\xfe\xff")):
		return nil, []error{errors.New("is UTF-16: save it as UTF-8")}
	case !utf8.Valid(raw), bytes.IndexByte(raw, 0) >= 0:
		return nil, []error{errors.New("is no text in UTF-8")}
	}
	var (
		entries []dotenvEntry
		faults  []error
		text    = strings.TrimPrefix(string(raw), "\ufeff")
		line    = 1
	)
	for {
		rest := text[len(dotenvBlank.FindString(text)):]
		line += countLines(text[:len(text)-len(rest)])
		if text = rest; text == "" {
			return entries, faults
		}
		entry, rest, err := parseAssignment(text)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("line %d: %w", line, err))
			rest = text[len(dotenvRest.FindString(text)):]
		case entry.name != "":
			entry.line = line
			entries = append(entries, entry)
		}
		line += countLines(text[:len(text)-len(rest)])
		text = rest
	}
}

// parseAssignment reads what text begins with: an assignment or a comment,
// which is an entry without a name.
func parseAssignment(text string) (entry dotenvEntry, rest string, err error) {
	if text[0] == '#' {
		return dotenvEntry{}, text[len(dotenvRest.FindString(text)):], nil
	}
	text = text[len(dotenvExport.FindString(text)):]
	name := dotenvName.FindStringSubmatch(text)
	if name == nil {
		return dotenvEntry{}, "", errors.New("no name before the =; want NAME=value")
	}
	text = text[len(name[0]):]
	equals := dotenvEquals.FindStringSubmatch(text)
	if equals == nil {
		return dotenvEntry{}, "", errors.New("no = after the name; want NAME=value")
	}
	value, rest, err := parseDotenvValue(text[len(equals[0]):], equals[1] != "")
	if err != nil {
		return dotenvEntry{}, "", err
	}
	end := dotenvEnd.FindString(rest)
	if end == "" && rest != "" {
		return dotenvEntry{}, "", errors.New("text after the closing quote")
	}
	return dotenvEntry{name: name[1] + name[2], value: value}, rest[len(end):], nil
}

// parseDotenvValue reads the value that text begins with. spaced is set if
// white space stands before it.
func parseDotenvValue(text string, spaced bool) (value, rest string, err error) {
	quoted, escape := dotenvSingleQuoted, dotenvSingleEscape
	switch {
	case strings.HasPrefix(text, `"`):
		quoted, escape = dotenvDoubleQuoted, dotenvDoubleEscape
	case !strings.HasPrefix(text, `'`):
		value = dotenvUnquoted.FindString(text)
		rest = text[len(value):]
		if spaced && strings.HasPrefix(value, "#") {
			return "", rest, nil
		}
		value = dotenvInline.ReplaceAllLiteralString(value, "")
		return dotenvTrailing.ReplaceAllLiteralString(value, ""), rest, nil
	}
	match := quoted.FindStringSubmatch(text)
	if match == nil {
		return "", "", fmt.Errorf("the quote %c is never closed", text[0])
	}
	value = escape.ReplaceAllStringFunc(match[1], func(s string) string { return dotenvEscapes[s] })
	return value, text[len(match[0]):], nil
}

func countLines(text string) int { return len(dotenvNewline.FindAllStringIndex(text, -1)) }

package send

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the texts of a message, in characters.
const (
	maxTitleRunes  = 140 // a Slack header takes 150
	maxNameRunes   = 60
	maxValueRunes  = 300
	maxAdviceRunes = 600
)

// clean returns a text as one line of at most limit characters: without control
// characters, and without the invisible ones that reorder or hide text.
func clean(s string, limit int) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			space = n > 0
			continue
		}
		if unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs) {
			continue
		}
		if space {
			b.WriteByte(' ')
			n, space = n+1, false
		}
		if n++; n > limit {
			return strings.TrimRight(cutRunes(b.String(), limit-1), " ") + "…"
		}
		b.WriteRune(r)
	}
	return b.String()
}

func cutRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// cutBytes returns the longest beginning of at most n bytes that ends between
// two characters.
func cutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:max(n, 0)]
}

// Threat: paths, user agents and labels come from whoever sends requests. He
// could write <!channel>, <at id=all></at> or @all to wake a whole company, or a
// link that looks like one of Sentinel's. None of the vendors documents an
// escape that all of its clients honour, so the characters that could begin
// markup or a mention are replaced by others that look like them.
var (
	unmentioned = strings.NewReplacer("<", "＜", ">", "＞", "@", "＠", "&", "＆", "://", "：//")
	unmarked    = strings.NewReplacer(
		"<", "＜", ">", "＞", "@", "＠", "&", "＆", "://", "：//",
		"*", "＊", "_", "＿", "`", "｀", "~", "～", "#", "＃", "!", "！", "|", "｜", "\\", "＼",
		"[", "［", "]", "］", "(", "（", ")", "）", "{", "｛", "}", "｝",
	)
)

// plainText makes a text harmless where no markup is read, but mentions may be.
func plainText(s string) string { return unmentioned.Replace(s) }

// markdownText makes a text harmless within a line of any Markdown.
func markdownText(s string) string { return unmarked.Replace(s) }

func same(s string) string { return s }

// style is how a format writes a message. Its texts are clean; escape makes
// them harmless.
type style struct {
	escape  func(string) string
	heading func(title string) string // of a section, if there are several
	fact    func(name, value string) string
	advice  func(text string) string
	newline string // between lines
	gap     string // between sections
}

// title returns the title of a message.
func (s style) title(m Message) string { return s.escape(clean(m.Title, maxTitleRunes)) }

// section writes one section.
func (s style) section(sec Section, several bool) string {
	var lines []string
	if several {
		lines = append(lines, s.heading(s.escape(clean(sec.Title, maxTitleRunes))))
	}
	for _, f := range sec.Facts {
		lines = append(lines, s.fact(s.escape(clean(f.Name, maxNameRunes)), s.escape(clean(f.Value, maxValueRunes))))
	}
	if sec.Advice != "" && !several {
		lines = append(lines, s.advice(s.escape(clean(sec.Advice, maxAdviceRunes))))
	}
	return strings.Join(lines, s.newline)
}

// sections writes those that fit into so many bytes, and says how many do not.
func (s style) sections(m Message, limit int) []string {
	several := len(m.Sections) > 1
	var out []string
	for i, sec := range m.Sections {
		text := s.section(sec, several)
		more := ""
		if rest := len(m.Sections) - i - 1; rest > 0 {
			more = s.gap + s.escape(clean(m.More(rest), maxTitleRunes))
		}
		if len(text)+len(more)+len(s.gap) > limit {
			if i == 0 {
				return append(out, cutBytes(text, limit-len(more))+more)
			}
			return append(out, s.escape(clean(m.More(len(m.Sections)-i), maxTitleRunes)))
		}
		limit -= len(text) + len(s.gap)
		out = append(out, text)
	}
	return out
}

// text is the sections as one text of at most so many bytes.
func (s style) text(m Message, limit int) string { return strings.Join(s.sections(m, limit), s.gap) }

// lineStyle is for texts without markup.
func lineStyle(escape func(string) string) style {
	return style{
		escape: escape, heading: same,
		advice:  func(text string) string { return "\n" + text },
		fact:    func(name, value string) string { return name + ": " + value },
		newline: "\n", gap: "\n\n",
	}
}

// Text returns a message as plain text, as email has it.
func Text(m Message) string {
	text := clean(m.Title, maxTitleRunes) + "\n\n" + lineStyle(same).text(m, maxTextBytes)
	if m.LinkURL != "" {
		text += "\n\n" + clean(m.LinkText, maxTitleRunes) + ": " + m.LinkURL
	}
	return text + "\n"
}

const maxTextBytes = 64 << 10

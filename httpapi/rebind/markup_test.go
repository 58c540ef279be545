package rebind

import "testing"

func TestWordsAreNoMarkup(t *testing.T) {
	var d document
	d.put(`<b title="%s">%s</b>%s`, `" onclick='`, "</b><script>&", "%s")
	d.put("<i>100%</i>")
	const want = `<b title="&#34; onclick=&#39;">&lt;/b&gt;&lt;script&gt;&amp;</b>%s<i>100%</i>`
	if got := d.text.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

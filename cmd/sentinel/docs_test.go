package main

import (
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var updatePages = flag.Bool("update", false, "write the pages that come from the code")

const repository = "../.."

func TestSettingsPages(t *testing.T) {
	for language, path := range map[string]string{"en": "docs/configuration.md", "zh": "docs/zh/configuration.md"} {
		path, want := filepath.Join(repository, path), settingsPages[language]()
		if *updatePages {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is not what the code says (%v): run make docs", path, err)
		}
	}
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	htmlLink     = regexp.MustCompile(`(?:src|href)="([^"]+)"`)
	codeFence    = regexp.MustCompile("(?ms)^```.*?^```")
)

// TestDocumentLinks follows every link from one file of the repository to
// another.
func TestDocumentLinks(t *testing.T) {
	pages := 0
	built := filepath.Join(repository, "bin") // has copies of pages without what is around them
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		switch {
		case path == built:
			return filepath.SkipDir
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != repository):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			pages++
			checkLinks(t, path)
		}
		return nil
	})
	if err != nil || pages == 0 {
		t.Errorf("got %d pages, %v", pages, err)
	}
}

func checkLinks(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	text := codeFence.ReplaceAllString(string(raw), "")
	for _, match := range append(markdownLink.FindAllStringSubmatch(text, -1), htmlLink.FindAllStringSubmatch(text, -1)...) {
		u, err := url.Parse(match[1])
		if err != nil || u.Scheme != "" {
			continue // elsewhere
		}
		to := path
		if u.Path != "" {
			to = filepath.Join(filepath.Dir(path), u.Path)
		}
		if _, err := os.Stat(to); err != nil {
			t.Errorf("%s links to %s, which is not there", path, match[1])
			continue
		}
		if u.Fragment != "" && !slices.Contains(anchorsOf(t, to), u.Fragment) {
			t.Errorf("%s links to %s: no heading of %s is that", path, match[1], to)
		}
	}
}

// anchorsOf returns the anchors that the forge, and the site, make of the headings
// of a page.
func anchorsOf(t *testing.T, path string) []string {
	t.Helper()
	raw, err := os.ReadFile(path)
	must(t, err)
	var anchors []string
	for _, heading := range headingLine.FindAllStringSubmatch(codeFence.ReplaceAllString(string(raw), ""), -1) {
		slug := strings.ToLower(strings.TrimSpace(heading[2]))
		slug = noAnchor.ReplaceAllString(slug, "")
		anchors = append(anchors, strings.ReplaceAll(slug, " ", "-"))
	}
	return anchors
}

var (
	headingLine = regexp.MustCompile(`(?m)^(#{1,6}) (.*)$`)
	noAnchor    = regexp.MustCompile(`[^\p{L}\p{M}\p{N}\p{Pc}\- ]`)
)

// docPages returns the pages below docs, by their path from there.
func docPages(t *testing.T) []string {
	t.Helper()
	docs := filepath.Join(repository, "docs")
	var pages []string
	must(t, filepath.WalkDir(docs, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".vitepress") {
			return filepath.SkipDir
		}
		if err == nil && filepath.Ext(path) == ".md" {
			rel, relErr := filepath.Rel(docs, path)
			pages = append(pages, filepath.ToSlash(rel))
			return relErr
		}
		return err
	}))
	return pages
}

// TestPagesAreInBothLanguages wants the same pages, with the same headings and as
// many pieces of code, in English and in Chinese.
func TestPagesAreInBothLanguages(t *testing.T) {
	shape := func(page string) string {
		raw, err := os.ReadFile(filepath.Join(repository, "docs", page))
		if err != nil {
			t.Errorf("docs/%s is in one language only", page)
			return ""
		}
		var levels strings.Builder
		for _, heading := range headingLine.FindAllStringSubmatch(codeFence.ReplaceAllString(string(raw), ""), -1) {
			levels.WriteString(heading[1] + " ")
		}
		return fmt.Sprintf("%sand %d pieces of code", levels.String(), len(codeFence.FindAllString(string(raw), -1)))
	}
	english := 0
	for _, page := range docPages(t) {
		if page == "zh/README.zh-CN.md" { // that of README.md at the top
			continue
		}
		other, isChinese := strings.CutPrefix(page, "zh/")
		if !isChinese {
			other = "zh/" + page
			english++
		}
		if here, there := shape(page), shape(other); here != there {
			t.Errorf("docs/%s has %s, docs/%s %s", page, here, other, there)
		}
	}
	if english < 15 {
		t.Errorf("found %d English pages", english)
	}
}

// TestDocumentsNameOnlyKnownSettings holds names of settings in the documentation
// against the table.
func TestDocumentsNameOnlyKnownSettings(t *testing.T) {
	name := regexp.MustCompile(`\bSENTINEL_[A-Z0-9_]*[A-Z0-9]\b`)
	foreign := map[string]bool{"SENTINEL_SERVICE_HOST": true} // Kubernetes' own
	for _, page := range docPages(t) {
		raw, err := os.ReadFile(filepath.Join(repository, "docs", page))
		must(t, err)
		for _, found := range name.FindAllString(string(raw), -1) {
			if settingNamed(found) == nil && !foreign[found] && !slices.Contains(commandNames, found) {
				t.Errorf("docs/%s speaks of %s, which is no setting", page, found)
			}
		}
	}
}

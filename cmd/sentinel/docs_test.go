package main

import (
	"flag"
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
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		switch {
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
		if err != nil || u.Scheme != "" || u.Path == "" {
			continue // elsewhere, or in the page itself
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), u.Path)); err != nil {
			t.Errorf("%s links to %s, which is not there", path, match[1])
		}
	}
}

// TestDocumentsNameOnlyKnownSettings holds names of settings in the documentation
// against the table.
func TestDocumentsNameOnlyKnownSettings(t *testing.T) {
	name := regexp.MustCompile(`\bSENTINEL_[A-Z0-9_]*[A-Z0-9]\b`)
	foreign := map[string]bool{"SENTINEL_SERVICE_HOST": true} // Kubernetes' own
	err := filepath.WalkDir(filepath.Join(repository, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, found := range name.FindAllString(string(raw), -1) {
			if settingNamed(found) == nil && !foreign[found] && !slices.Contains(commandNames, found) {
				t.Errorf("%s speaks of %s, which is no setting", path, found)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

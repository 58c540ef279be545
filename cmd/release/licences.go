package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// consoleLicences is what the build of the console writes: the packages in it.
const consoleLicences = "ui/licences.json"

// licenceName fits the names of the files that have to go with a copy.
var licenceName = regexp.MustCompile(`(?i)^(un)?(licen[cs]es?|copying|copyright|notice|patents)([-.].*)?$`)

// npmPackage is a package that is in the console.
type npmPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Licence string `json:"licence"` // an SPDX expression
	Text    string `json:"text"`    // empty if the package brings none
}

// writeLicences writes the licence texts of all that is in the program: Go and
// its library, the modules, and the packages of the console. A module without
// one is an error: it could not be handed on.
func writeLicences(ctx context.Context, dir string, targets []target) error {
	goroot, err := output(ctx, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	modules, err := modulesOf(ctx, targets)
	if err != nil {
		return err
	}
	modules["go"] = goroot
	for name, from := range modules {
		found, err := copyLicences(from, filepath.Join(dir, "go", filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if found == 0 {
			return fmt.Errorf("module %s has no licence text in %s", name, from)
		}
	}
	packages, err := npmPackages()
	if err != nil {
		return err
	}
	for _, p := range packages {
		text := fmt.Sprintf("%s %s\n%s\n\n%s", p.Name, p.Version, p.Licence, p.Text)
		if err := writeText(filepath.Join(dir, "npm", filepath.FromSlash(p.Name), "LICENSE"), []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// modulesOf returns the folder of each module that a package of the program is
// of, on any of the platforms.
func modulesOf(ctx context.Context, targets []target) (map[string]string, error) {
	modules := map[string]string{}
	const form = `{{with .Module}}{{if not .Main}}{{.Path}}	{{.Version}}	{{.Dir}}{{end}}{{end}}`
	for _, t := range targets {
		list, err := outputFor(ctx, t, "go", "list", "-deps", "-f", form, "./cmd/sentinel")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(list) {
			fields := strings.Split(strings.TrimSpace(line), "\t")
			switch {
			case len(fields) == 3 && fields[2] != "":
				modules[fields[0]+"@"+fields[1]] = fields[2]
			case fields[0] != "":
				// With vendor, go list knows no folder; the texts are there all the same.
				modules[fields[0]+"@"+fields[1]] = filepath.Join("vendor", filepath.FromSlash(fields[0]))
			}
		}
	}
	if len(modules) == 0 {
		return nil, fmt.Errorf("go list names no modules")
	}
	return modules, nil
}

// copyLicences copies the licence texts at the top of a module, and returns how
// many there were.
func copyLicences(from, to string) (int, error) {
	entries, err := os.ReadDir(from)
	if err != nil {
		return 0, err
	}
	found := 0
	for _, e := range entries {
		if e.Type()&fs.ModeType != 0 || !licenceName.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		body, err := os.ReadFile(filepath.Join(from, e.Name())) //nolint:gosec // G304: of a module that is in the program
		if err != nil {
			return found, err
		}
		if err := writeText(filepath.Join(to, e.Name()), body); err != nil {
			return found, err
		}
		found++
	}
	return found, nil
}

// npmPackages returns the packages in the console, by name.
func npmPackages() ([]npmPackage, error) {
	raw, err := os.ReadFile(consoleLicences)
	if err != nil {
		return nil, err
	}
	var packages []npmPackage
	if err := json.Unmarshal(raw, &packages); err != nil {
		return nil, fmt.Errorf("%s: %w", consoleLicences, err)
	}
	slices.SortFunc(packages, func(a, b npmPackage) int { return strings.Compare(a.Name, b.Name) })
	return packages, nil
}

func writeText(path string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // G301: for everybody
		return err
	}
	return os.WriteFile(path, body, 0o644) //nolint:gosec // G306: for everybody
}

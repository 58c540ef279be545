package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// billOfMaterials writes what the program of a platform is made of, in the form
// of CycloneDX: the modules as cyclonedx-gomod reads them from the program
// itself, and the packages of the console.
func (r *release) billOfMaterials(ctx context.Context, t target, program string) error {
	raw, err := output(ctx, r.cyclonedx, "bin", "-json", "-licenses", "-std", "-noserial", "-notimestamp", "-version", r.version, program)
	if err != nil {
		return err
	}
	packages, err := npmPackages()
	if err != nil {
		return err
	}
	document, err := addPackages([]byte(raw), packages)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, r.name(t)+".cdx.json"), document, 0o644) //nolint:gosec // G306: for everybody
}

// addPackages returns a document with the packages of the console beside its
// modules. The hashes of the tool that wrote it go: they are those of a program
// that was built here.
func addPackages(raw []byte, packages []npmPackage) ([]byte, error) {
	var document map[string]any
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	components, ok := document["components"].([]any)
	if !ok {
		return nil, errors.New("bill of materials: no components")
	}
	for _, p := range packages {
		purl := "pkg:npm/" + strings.Replace(url.PathEscape(p.Name), "%2F", "/", 1) + "@" + url.PathEscape(p.Version)
		components = append(components, map[string]any{
			"type": "library", "bom-ref": purl, "purl": purl, "name": p.Name, "version": p.Version,
			"licenses": []any{map[string]any{"expression": p.Licence}},
		})
	}
	document["components"] = components
	if metadata, ok := document["metadata"].(map[string]any); ok {
		tools, _ := metadata["tools"].([]any)
		for _, tool := range tools {
			if t, ok := tool.(map[string]any); ok {
				delete(t, "hashes")
			}
		}
	}
	out, err := json.MarshalIndent(document, "", "  ")
	return append(out, '\n'), err
}

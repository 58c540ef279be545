package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// billOfMaterials writes what the program is made of, in the form of CycloneDX:
// the modules as cyclonedx-gomod finds them, and the packages of the console.
// Neither a serial number nor the time of the run is in it.
func (r *release) billOfMaterials(ctx context.Context, t target) error {
	raw, err := outputFor(ctx, t, r.cyclonedx, "app", "-json", "-licenses", "-std", "-noserial", "-notimestamp", "-main", "cmd/sentinel", ".")
	if err != nil {
		return err
	}
	packages, err := npmPackages()
	if err != nil {
		return err
	}
	document, err := addPackages([]byte(raw), r.version, packages)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("sentinel_%s.cdx.json", strings.TrimPrefix(r.version, "v"))
	return os.WriteFile(filepath.Join(r.out, name), document, 0o644) //nolint:gosec // G306: for everybody
}

// addPackages returns a document with the packages of the console beside its
// modules, and the version of the release.
func addPackages(raw []byte, version string, packages []npmPackage) ([]byte, error) {
	var document map[string]any
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	components, ok := document["components"].([]any)
	if !ok {
		return nil, fmt.Errorf("bill of materials: no components")
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
		if main, ok := metadata["component"].(map[string]any); ok {
			main["version"] = version
		}
	}
	out, err := json.MarshalIndent(document, "", "  ")
	return append(out, '\n'), err
}

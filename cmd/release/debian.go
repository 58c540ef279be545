package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// packageFiles is where the files of the Debian package are.
const packageFiles = "cmd/release/package"

// debianVersion returns a version as dpkg orders it: a pre-release comes before
// its release, which takes a tilde.
func debianVersion(version string) string {
	base, pre, found := strings.Cut(strings.TrimPrefix(version, "v"), "-")
	if !found {
		return base
	}
	return base + "~" + strings.ReplaceAll(pre, "-", ".")
}

var nfpmConfig = template.Must(template.New("nfpm").Parse(`name: key-ip-sentinel
arch: {{.Arch}}
platform: linux
version_schema: none
version: "{{.Version}}"
mtime: {{.Made}}
section: net
priority: optional
maintainer: Key-IP Sentinel maintainers <maintainers@sentinel.invalid>
description: |
  Reverse proxy that ties LLM API keys to the networks they are used from.
  The first accepted use of a key binds it to the address of the client. A later
  use from elsewhere is refused and recorded.
license: Apache-2.0
depends: [passwd]
recommends: [ca-certificates]
contents:
  - {src: "{{.Program}}", dst: /usr/bin/sentinel, file_info: {mode: 0755}}
  - {src: "{{.Files}}/sentinel.service", dst: /usr/lib/systemd/system/sentinel.service, file_info: {mode: 0644}}
  - {src: "{{.Files}}/sentinel.env", dst: /etc/key-ip-sentinel/sentinel.env, type: config|noreplace, file_info: {mode: 0640}}
  - {src: LICENSE, dst: /usr/share/doc/key-ip-sentinel/copyright, file_info: {mode: 0644}}
  - {src: CHANGELOG.md, dst: /usr/share/doc/key-ip-sentinel/CHANGELOG.md, file_info: {mode: 0644}}
  - {src: "{{.Licences}}", dst: /usr/share/doc/key-ip-sentinel/licences, type: tree}
scripts:
  postinstall: {{.Files}}/postinst
  preremove: {{.Files}}/prerm
  postremove: {{.Files}}/postrm
deb:
  compression: gzip
`))

// debian writes the Debian package of a platform.
func (r *release) debian(ctx context.Context, t target, program, licences string) error {
	version := debianVersion(r.version)
	config := filepath.Join(filepath.Dir(program), "nfpm.yaml")
	err := writeFile(config, func(w io.Writer) error {
		return nfpmConfig.Execute(w, map[string]string{
			"Arch": t.arch, "Version": version, "Made": r.made.Format(time.RFC3339),
			"Program": program, "Licences": licences, "Files": packageFiles,
		})
	})
	if err != nil {
		return err
	}
	// Packed trees have the times of their files, whatever the package's own is.
	if err := stamp(filepath.Dir(licences), r.made); err != nil {
		return err
	}
	to := filepath.Join(r.out, fmt.Sprintf("key-ip-sentinel_%s_%s.deb", version, t.arch))
	_, err = output(ctx, "env", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.made.Unix()), r.nfpm, "package", "--packager", "deb", "--config", config, "--target", to)
	return err
}

// stamp gives every file and folder below a directory one time.
func stamp(dir string, made time.Time) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, made, made) //nolint:gosec // G122: a tree of our own making
	})
}

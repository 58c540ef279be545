package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var made = time.Date(2026, 11, 26, 4, 0, 1, 0, time.UTC)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// members of two archives differ in nothing that the names do not tell.
func testMembers() []member {
	return []member{{"sentinel_1.2.3/sentinel", 0o755, []byte("program")}, {"sentinel_1.2.3/licences/go/a", 0o644, []byte("text")}}
}

func TestArchivesTellNothingOfTheMachine(t *testing.T) {
	for name, write := range map[string]func(io.Writer, []member, time.Time) error{"tar.gz": writeTarGz, "zip": writeZip} {
		var first, second bytes.Buffer
		must(t, write(&first, testMembers(), made))
		must(t, write(&second, testMembers(), made))
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: two of the same differ", name)
		}
		var later bytes.Buffer
		must(t, write(&later, testMembers(), made.Add(time.Hour)))
		if bytes.Equal(first.Bytes(), later.Bytes()) {
			t.Errorf("%s: the time is not in it", name)
		}
	}
}

func TestTarGz(t *testing.T) {
	var out bytes.Buffer
	must(t, writeTarGz(&out, testMembers(), made))
	unzipped, err := gzip.NewReader(&out)
	must(t, err)
	if !unzipped.ModTime.IsZero() || unzipped.Name != "" {
		t.Errorf("the gzip header has %v %q", unzipped.ModTime, unzipped.Name)
	}
	files := tar.NewReader(unzipped)
	for _, want := range testMembers() {
		header, err := files.Next()
		must(t, err)
		body, err := io.ReadAll(files)
		must(t, err)
		if header.Name != want.name || header.Mode != int64(want.mode) || !header.ModTime.Equal(made) || header.Uid != 0 || header.Uname != "root" || !bytes.Equal(body, want.body) {
			t.Errorf("got %+v %q, want %+v", header, body, want)
		}
	}
}

func TestZip(t *testing.T) {
	var out bytes.Buffer
	must(t, writeZip(&out, testMembers(), made))
	files, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	must(t, err)
	for i, want := range testMembers() {
		if got := files.File[i]; got.Name != want.name || got.Mode() != want.mode || !got.Modified.Equal(made) {
			t.Errorf("got %s %v %v, want %+v", got.Name, got.Mode(), got.Modified, want)
		}
	}
}

func TestReadTreeIsSorted(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b/2", "a", "b/1", "b/10"} {
		must(t, writeText(filepath.Join(dir, name), []byte(name)))
	}
	members, err := readTree(dir, "top")
	must(t, err)
	var names []string
	for _, m := range members {
		names = append(names, m.name)
	}
	if want := []string{"top/a", "top/b/1", "top/b/10", "top/b/2"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestChecksums(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "b"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("abc"), 0o600))
	got, err := writeChecksums(dir)
	want := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n" +
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b\n"
	if err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestBundle(t *testing.T) {
	to, out := filepath.Join(t.TempDir(), "bundle.tar.gz"), new(bytes.Buffer)
	must(t, writeBundle(to, "bundle_1", []member{{"docs/index.html", 0o644, []byte("abc")}}, made, out))
	if !strings.HasSuffix(out.String(), "  "+to+"\n") {
		t.Errorf("got %q", out)
	}
	if listed, err := exec.Command("tar", "-tzf", to).Output(); err != nil || string(listed) != "bundle_1/docs/index.html\nbundle_1/SHA256SUMS\n" {
		t.Errorf("got %s, %v", listed, err)
	}
	sums, err := exec.Command("tar", "-xzOf", to, "bundle_1/SHA256SUMS").Output()
	if want := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  docs/index.html\n"; err != nil || string(sums) != want {
		t.Errorf("got %s, %v, want %s", sums, err, want)
	}
	if err := run(t.Context(), []string{"bundle"}, out); err == nil {
		t.Error("a bundle of nothing is made")
	}
}

func TestVersions(t *testing.T) {
	for version, debian := range map[string]string{
		"v1.2.3": "1.2.3", "v1.2.3-rc.1": "1.2.3~rc.1", "v1.2.3+dirty": "1.2.3+dirty",
		"v0.0.0-20261126040001-5647d33d96c6": "0.0.0~20261126040001.5647d33d96c6",
	} {
		if got := debianVersion(version); got != debian || !versionForm.MatchString(version) {
			t.Errorf("%s: got %s, want %s", version, got, debian)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1795665601")
	version, at, err := identify(t.Context(), "v1.2.3")
	if err != nil || version != "v1.2.3" || at.Unix() != 1795665601 {
		t.Errorf("got %s, %v, %v", version, at, err)
	}
	for _, bad := range []string{"1.2.3", "v1.2", "v1.2.3 -X main.evil=1", "latest"} {
		if _, _, err := identify(t.Context(), bad); err == nil {
			t.Errorf("%q is taken as a version", bad)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, _, err := identify(t.Context(), "v1.2.3"); err == nil {
		t.Error("SOURCE_DATE_EPOCH=yesterday is taken")
	}
}

func TestParseTargets(t *testing.T) {
	got, err := parseTargets("linux/amd64,windows/arm64")
	if want := []target{{"linux", "amd64"}, {"windows", "arm64"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"linux", "linux/", ",", "/amd64"} {
		if _, err := parseTargets(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestLicences wants a text for everything that is in the program.
func TestLicences(t *testing.T) {
	t.Chdir("../..")
	dir := t.TempDir()
	must(t, writeLicences(t.Context(), dir, allTargets))
	members, err := readTree(dir, "")
	must(t, err)
	for _, part := range []string{"go/go/", "go/github.com/gin-gonic/gin@", "go/go.etcd.io/bbolt@", "go/github.com/inconshreveable/mousetrap@", "npm/vue/", "npm/element-plus/", "npm/echarts/"} {
		if !slices.ContainsFunc(members, func(m member) bool { return strings.HasPrefix(m.name, part) && len(m.body) > 100 }) {
			t.Errorf("no text in %s", part)
		}
	}
	packages, err := npmPackages()
	must(t, err)
	for _, p := range packages {
		if p.Licence == "" || p.Text == "" {
			t.Errorf("%s: licence %q, %d bytes of text", p.Name, p.Licence, len(p.Text))
		}
	}
	if found, err := copyLicences("cmd/release", t.TempDir()); found != 0 || err != nil {
		t.Errorf("a folder without a licence: got %d, %v", found, err)
	}
}

func TestBillOfMaterials(t *testing.T) {
	raw := `{"metadata":{"tools":[{"name":"x","hashes":[1]}]},"components":[{"name":"gin"}]}`
	out, err := addPackages([]byte(raw), []npmPackage{{Name: "@vue/shared", Version: "3.5.45", Licence: "MIT"}})
	must(t, err)
	var document struct {
		Metadata   struct{ Tools []map[string]any }
		Components []struct{ Name, PURL string }
	}
	must(t, json.Unmarshal(out, &document))
	if len(document.Components) != 2 || document.Components[1].PURL != "pkg:npm/@vue/shared@3.5.45" || document.Metadata.Tools[0]["hashes"] != nil {
		t.Errorf("got %s", out)
	}
	for _, bad := range []string{"", "{}", "[]"} {
		if _, err := addPackages([]byte(bad), nil); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestProgramIsLight builds the program as a release does. The linker leaves out
// what is not used only as long as nothing calls methods by their name: what does
// is a package for templates, and the like.
func TestProgramIsLight(t *testing.T) {
	t.Chdir("../..")
	r := &release{version: "v1.2.3"}
	path, err := r.build(t.Context(), target{runtime.GOOS, runtime.GOARCH}, filepath.Join(t.TempDir(), "sentinel"))
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	t.Logf("%d bytes", info.Size())
	cmd := exec.Command("go", "build", "-tags=nomsgpack", "-trimpath", "-ldflags=-dumpdep", "-o", path, "./cmd/sentinel")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	graph, err := cmd.CombinedOutput()
	must(t, err)
	for line := range bytes.Lines(graph) {
		if bytes.Contains(line, []byte("<ReflectMethod>")) {
			t.Fatalf("the linker keeps every method because of %s", line)
		}
	}
}

// TestUnit asks systemd whether the unit is well-formed, and how far it is open.
func TestUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("missing: systemd-analyze: apt-get install systemd")
	}
	raw, err := os.ReadFile("package/sentinel.service")
	must(t, err)
	unit := filepath.Join(t.TempDir(), "sentinel.service")
	must(t, os.WriteFile(unit, bytes.Replace(raw, []byte("ExecStart=/usr/bin/sentinel"), []byte("ExecStart=/bin/true"), 1), 0o600))
	for _, args := range [][]string{{"verify", unit}, {"security", "--offline=true", "--threshold=20", unit}} {
		if out, err := exec.Command("systemd-analyze", args...).CombinedOutput(); err != nil {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}

func TestScriptsAreShell(t *testing.T) {
	for _, name := range []string{"package/postinst", "package/prerm", "package/postrm"} {
		if out, err := exec.Command("sh", "-n", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

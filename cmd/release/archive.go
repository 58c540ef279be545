package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// member is a file of an archive.
type member struct {
	name string // with slashes
	mode fs.FileMode
	body []byte
}

// archive writes the archive of a platform: .zip for Windows, .tar.gz elsewhere.
// All is in one folder of the archive's name.
func (r *release) archive(t target, program, licences string) error {
	name := r.name(t)
	members, err := r.members(t, name, program, licences)
	if err != nil {
		return err
	}
	if t.os == "windows" {
		return writeFile(filepath.Join(r.out, name+".zip"), func(w io.Writer) error { return writeZip(w, members, r.made) })
	}
	return writeFile(filepath.Join(r.out, name+".tar.gz"), func(w io.Writer) error { return writeTarGz(w, members, r.made) })
}

func (r *release) members(t target, folder, program, licences string) ([]member, error) {
	from := []struct {
		path, as string
		mode     fs.FileMode
	}{
		{program, t.binary(), 0o755},
		{"LICENSE", "LICENSE", 0o644},
		{"README.md", "README.md", 0o644},
		{"CHANGELOG.md", "CHANGELOG.md", 0o644},
	}
	if t.os == "linux" {
		for _, name := range []string{"sentinel.service", "sentinel.env"} {
			from = append(from, struct {
				path, as string
				mode     fs.FileMode
			}{filepath.Join(packageFiles, name), name, 0o644})
		}
	}
	members := make([]member, 0, len(from))
	for _, f := range from {
		body, err := os.ReadFile(f.path)
		if err != nil {
			return nil, err
		}
		members = append(members, member{path.Join(folder, f.as), f.mode, body})
	}
	texts, err := readTree(licences, path.Join(folder, "licences"))
	return append(members, texts...), err
}

// readTree returns the files below a directory in the order of their names,
// under another name.
func readTree(dir, as string) ([]member, error) {
	var members []member
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(file) //nolint:gosec // G304,G122: a tree of our own making
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		members = append(members, member{path.Join(as, filepath.ToSlash(rel)), 0o644, body})
		return err
	})
	return members, err
}

// writeTarGz writes members in their order. Nothing of this machine gets in:
// times are made, owners are root, and the gzip header has neither name nor time.
func writeTarGz(w io.Writer, members []member, made time.Time) error {
	zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	tarred := tar.NewWriter(zipped)
	for _, m := range members {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: m.name, Size: int64(len(m.body)), Mode: int64(m.mode.Perm()),
			ModTime: made, Uname: "root", Gname: "root", Format: tar.FormatPAX,
		}
		if err := tarred.WriteHeader(header); err != nil {
			return err
		}
		if _, err := tarred.Write(m.body); err != nil {
			return err
		}
	}
	return errors.Join(tarred.Close(), zipped.Close())
}

func writeZip(w io.Writer, members []member, made time.Time) error {
	zipped := zip.NewWriter(w)
	for _, m := range members {
		header := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: made}
		header.SetMode(m.mode)
		entry, err := zipped.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := entry.Write(m.body); err != nil {
			return err
		}
	}
	return zipped.Close()
}

func writeFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path) //nolint:gosec // G304: who makes a release names the directory
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// writeChecksums writes SHA256SUMS, as sha256sum -c reads it, and returns it.
func writeChecksums(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var sums strings.Builder
	for _, e := range entries {
		body, err := os.ReadFile(filepath.Join(dir, e.Name())) //nolint:gosec // G304: as above
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(body), e.Name())
	}
	return sums.String(), os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o644) //nolint:gosec // G306: for everybody
}

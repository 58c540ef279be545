package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bundle writes one archive for a site without the internet, of directories that
// are made: the release, the pages, the files for monitoring. The image of the
// container goes with it where Docker is at hand.
func bundle(ctx context.Context, stdout io.Writer, release, pages, monitoring string) error {
	version, made, err := identify(ctx, os.Getenv("VERSION"))
	if err != nil {
		return err
	}
	name := "sentinel-bundle_" + strings.TrimPrefix(version, "v")
	var members []member
	for _, from := range []struct{ dir, as string }{{release, "release"}, {pages, "docs"}, {monitoring, "monitoring"}} {
		found, err := readTree(from.dir, from.as)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("%s is empty", from.dir)
		}
		members = append(members, found...)
	}
	if !slices.ContainsFunc(members, func(m member) bool { return strings.Contains(m.name, strings.TrimPrefix(version, "v")) }) {
		return fmt.Errorf("%s has another version than %s: make the release anew", release, version)
	}
	image, err := containerImage(ctx, stdout, version)
	if err != nil {
		return err
	}
	members = append(members, image...)
	return writeBundle(filepath.Join("bin", name+".tar.gz"), name, members, made, stdout)
}

// writeBundle writes members below a folder of their own, with their checksums.
func writeBundle(to, folder string, members []member, made time.Time, stdout io.Writer) error {
	var sums strings.Builder
	for i := range members {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(members[i].body), members[i].name)
		members[i].name = path.Join(folder, members[i].name)
	}
	members = append(members, member{path.Join(folder, "SHA256SUMS"), 0o644, []byte(sums.String())})
	if err := writeFile(to, func(w io.Writer) error { return writeTarGz(w, members, made) }); err != nil {
		return err
	}
	whole, err := os.ReadFile(to) //nolint:gosec // G304: written a line ago
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%x  %s\n", sha256.Sum256(whole), to)
	return err
}

// containerImage builds the image and returns what docker load reads; nothing
// where no Docker answers.
func containerImage(ctx context.Context, stdout io.Writer, version string) (members []member, err error) {
	if _, err := output(ctx, "docker", "info"); err != nil {
		_, err = fmt.Fprintln(stdout, "no Docker answers here: the bundle has no image")
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sentinel-image-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tag, file := "sentinel:"+version, filepath.Join(dir, "sentinel.tar")
	if _, err := output(ctx, "docker", "build", "--build-arg", "VERSION="+version, "-t", tag, "."); err != nil {
		return nil, err
	}
	if _, err := output(ctx, "docker", "save", "-o", file, tag); err != nil {
		return nil, err
	}
	if _, err := output(ctx, "gzip", "-n", file); err != nil {
		return nil, err
	}
	return readTree(dir, "image")
}

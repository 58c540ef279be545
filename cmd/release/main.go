// Command release makes what is handed out: for each platform an archive with
// the program and the licences of all that is in it, Debian packages, a bill of
// materials, and checksums. The same commit gives the same bytes, wherever and
// whenever it is built.
//
//	go run ./cmd/release [-version v1.2.3] [-out bin/release]
//	go run ./cmd/release licences DIR
//	go run ./cmd/release bundle RELEASE PAGES MONITORING
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxBinary is what the program may weigh with the console in it, in bytes.
// A template in the program is enough to break it: see TestProgramIsLight.
const maxBinary = 45_000_000

// target is a platform that is released for.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "/" + t.arch }

// binary is the name of the program there.
func (t target) binary() string {
	if t.os == "windows" {
		return "sentinel.exe"
	}
	return "sentinel"
}

var allTargets = []target{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1) //nolint:gocritic // exitAfterDefer: stopped in the line before
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return runCommand(ctx, stdout, args[0], args[1:])
	}
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	version := flags.String("version", "", "version of the release, such as v1.2.3; without it, the tag or the time of the commit")
	out := flags.String("out", filepath.Join("bin", "release"), "directory to write to; what is in it is replaced")
	only := flags.String("targets", "", "platforms, such as linux/amd64,linux/arm64; without it, all")
	nfpm := flags.String("nfpm", "nfpm", "the program that makes Debian packages")
	gomod := flags.String("cyclonedx", "cyclonedx-gomod", "the program that lists the modules")
	if err := flags.Parse(args); err != nil {
		return err
	}
	targets, err := parseTargets(*only)
	if err != nil {
		return err
	}
	r := &release{out: *out, nfpm: *nfpm, cyclonedx: *gomod, stdout: stdout}
	if r.version, r.made, err = identify(ctx, *version); err != nil {
		return err
	}
	r.commit, _ = output(ctx, "git", "rev-parse", "HEAD") // none outside a repository
	return r.make(ctx, targets)
}

// runCommand does what is not making a release.
func runCommand(ctx context.Context, stdout io.Writer, name string, dirs []string) error {
	switch name {
	case "licences":
		if len(dirs) != 1 {
			return errors.New("licences wants the directory to write to")
		}
		return writeLicences(ctx, dirs[0], []target{{"linux", "amd64"}})
	case "bundle":
		if len(dirs) != 3 {
			return errors.New("bundle wants three directories: the release, the pages, the files for monitoring")
		}
		return bundle(ctx, stdout, dirs[0], dirs[1], dirs[2])
	default:
		return fmt.Errorf("%q is no command: want licences or bundle", name)
	}
}

func parseTargets(list string) ([]target, error) {
	if list == "" {
		return allTargets, nil
	}
	var targets []target
	for one := range strings.SplitSeq(list, ",") {
		goos, arch, ok := strings.Cut(one, "/")
		if !ok || goos == "" || arch == "" {
			return nil, fmt.Errorf("platform %q: want OS/ARCH, such as linux/amd64", one)
		}
		targets = append(targets, target{goos, arch})
	}
	return targets, nil
}

// release is one that is being made.
type release struct {
	version         string    // with its v
	commit          string    // may be empty
	made            time.Time // of the commit, and so of every file
	out             string
	nfpm, cyclonedx string
	stdout          io.Writer
}

// name is that of everything for a platform, without what follows the last dot.
func (r *release) name(t target) string {
	return fmt.Sprintf("sentinel_%s_%s_%s", strings.TrimPrefix(r.version, "v"), t.os, t.arch)
}

func (r *release) make(ctx context.Context, targets []target) error {
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	work := filepath.Join(r.out, "work")
	if err := os.MkdirAll(work, 0o755); err != nil { //nolint:gosec // G301: it is for everybody
		return err
	}
	licences := filepath.Join(work, "licences")
	if err := writeLicences(ctx, licences, targets); err != nil {
		return err
	}
	for _, t := range targets {
		program, err := r.build(ctx, t, filepath.Join(work, t.os+"-"+t.arch, t.binary()))
		if err != nil {
			return err
		}
		if err := r.archive(t, program, licences); err != nil {
			return err
		}
		if err := r.billOfMaterials(ctx, t, program); err != nil {
			return err
		}
		if t.os == "linux" {
			if err := r.debian(ctx, t, program, licences); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	sums, err := writeChecksums(r.out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.stdout, "%s in %s:\n%s", r.version, r.out, sums)
	return err
}

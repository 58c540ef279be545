package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// versionForm is a semantic version with a v.
var versionForm = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// identify returns the version and the time of what is built. A version that is
// not given is the tag of the commit, or, as Go has it, made of its time and its
// hash; what was changed since adds +dirty. SOURCE_DATE_EPOCH counts before the time of the commit, and makes do
// without a repository.
func identify(ctx context.Context, given string) (version string, made time.Time, err error) {
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if seconds == "" {
		if seconds, err = output(ctx, "git", "log", "-1", "--format=%ct"); err != nil {
			return "", time.Time{}, fmt.Errorf("outside a repository, set SOURCE_DATE_EPOCH: %w", err)
		}
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", seconds)
	}
	made, version = time.Unix(n, 0).UTC(), given
	if version == "" {
		if version, err = versionOfCommit(ctx); err != nil {
			return "", time.Time{}, err
		}
	}
	if !versionForm.MatchString(version) {
		return "", time.Time{}, fmt.Errorf("version %q: want a semantic version with a v, such as v1.2.3", version)
	}
	return version, made, nil
}

func versionOfCommit(ctx context.Context) (string, error) {
	changes, err := output(ctx, "git", "status", "--porcelain")
	if err != nil {
		return "", fmt.Errorf("outside a repository, give -version: %w", err)
	}
	dirty := ""
	if changes != "" {
		dirty = "+dirty"
	}
	if tag, err := output(ctx, "git", "describe", "--tags", "--exact-match", "--match", "v*"); err == nil {
		return tag + dirty, nil
	}
	line, err := output(ctx, "git", "-c", "core.abbrev=12", "log", "-1", "--date=format-local:%Y%m%d%H%M%S", "--format=%cd-%h")
	if err != nil {
		return "", err
	}
	return "v0.0.0-" + line + dirty, nil
}

// build makes the program of a platform. What could differ from one machine to
// the next stays out: paths, the build ID, cgo. Go looks for the commit in a clone
// and not in a worktree, so it is told.
func (r *release) build(ctx context.Context, t target, path string) (string, error) {
	flags := fmt.Sprintf("-s -w -buildid= -X main.version=%s -X main.commit=%s", r.version, r.commit)
	_, err := outputFor(ctx, t, "go", "build", "-tags=nomsgpack", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", path, "./cmd/sentinel")
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxBinary {
		return "", fmt.Errorf("%s for %s has %d bytes, more than %d", filepath.Base(path), t, info.Size(), maxBinary)
	}
	return path, nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	return outputFor(ctx, target{}, name, args...)
}

// outputFor runs a program with the platform in its environment, in UTC, and
// returns what it prints, without white space around.
func outputFor(ctx context.Context, t target, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // G204: who makes a release names the tools
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "TZ=UTC")
	if t != (target{}) {
		cmd.Env = append(cmd.Env, "GOOS="+t.os, "GOARCH="+t.arch)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
)

const (
	localTokenName = "local-token"
	socketName     = "sentinel.sock"
)

// writeLocalToken makes the token by which who can read the data directory uses
// the admin API. Each start makes another one.
func writeLocalToken(dir string) (string, error) {
	token := rand.Text()
	path := filepath.Join(dir, localTokenName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("replace local token: %w", err)
	}
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write local token: %w", err)
	}
	return token, nil
}

// listenLocal opens the socket on which commands of this machine speak to the
// server. The store's lock is held, so a socket that is there is a dead one.
func listenLocal(dir string) (net.Listener, error) {
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect socket: %w", err), l.Close())
	}
	return l, nil
}

// localClient returns a client that speaks to the server of a data directory,
// whatever the host of the URL.
func localClient(dir string) *http.Client {
	path := filepath.Join(dir, socketName)
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
				return nil, fmt.Errorf("no sentinel runs on data directory %s: start it, or name its directory with --data-dir", dir)
			}
			return conn, err
		},
	}}
}

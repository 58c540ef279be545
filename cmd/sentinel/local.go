package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

const localTokenName = "local-token"

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
	path := filepath.Join(dir, client.SocketName)
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

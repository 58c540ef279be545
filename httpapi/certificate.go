package httpapi

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery bounds how often the files of a certificate are looked at.
const lookEvery = time.Second

// Certificate is a TLS certificate in two files, read again when they change.
// It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   string
	looked  time.Time
}

// LoadCertificate reads a certificate, which must be good now. If a later
// version of the files cannot be used, the one before stays, and the log says so.
func LoadCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	stamp, err := c.stampNow()
	if err != nil {
		return nil, fmt.Errorf("load TLS certificate: %w", err)
	}
	if err := c.load(stamp); err != nil {
		return nil, err
	}
	return c, nil
}

// TLSConfig returns what a server needs to use the certificate.
func (c *Certificate) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.get(time.Now()), nil
		},
	}
}

func (c *Certificate) get(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) < lookEvery {
		return c.current
	}
	c.looked = now
	stamp, err := c.stampNow()
	if err == nil && stamp == c.stamp {
		return c.current
	}
	if err == nil {
		err = c.load(stamp)
	}
	if err != nil {
		c.logger.Error("the changed TLS certificate cannot be used, the one before stays", "error", err)
	} else {
		c.logger.Info("TLS certificate read again", "file", c.certFile)
	}
	return c.current
}

func (c *Certificate) load(stamp string) error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("load TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current, c.stamp = &pair, stamp
	return nil
}

// stampNow tells one version of the files from another.
func (c *Certificate) stampNow() (string, error) {
	var stamp string
	for _, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		stamp += fmt.Sprintf("%d.%d ", info.ModTime().UnixNano(), info.Size())
	}
	return stamp, nil
}

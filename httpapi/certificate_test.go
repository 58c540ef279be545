package httpapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi"
)

func writeCertificate(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return certFile, keyFile
}

func servedName(t *testing.T, addr string) string {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // G402: the name is what the test looks at
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	must(t, err)
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestACertificateIsReadAgainWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, "one.example")
	certificate, err := httpapi.LoadCertificate(certFile, keyFile, quiet)
	must(t, err)
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	addr := serve(t, listen(t), httpapi.NewServer(httpapi.ServerOptions{Handler: handler, Logger: quiet, TLS: certificate.TLSConfig()}))
	if got := servedName(t, addr); got != "one.example" {
		t.Fatalf("got %q, want one.example", got)
	}
	writeCertificate(t, dir, "two.example")
	waitForName(t, addr, "two.example")
	must(t, os.WriteFile(certFile, []byte("broken"), 0o600))
	must(t, os.Chtimes(certFile, time.Now(), time.Now().Add(time.Minute)))
	certificate.LookNow()
	if got := servedName(t, addr); got != "two.example" {
		t.Errorf("got %q after the file was broken, want two.example still", got)
	}
	if _, err := httpapi.LoadCertificate(certFile, keyFile, quiet); err == nil {
		t.Error("a broken certificate was loaded at the start")
	}
}

func waitForName(t *testing.T, addr, want string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if servedName(t, addr) == want {
			return
		}
	}
	t.Fatalf("the certificate of %s was not served", want)
}

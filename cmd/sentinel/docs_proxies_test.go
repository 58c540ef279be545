package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

// proxiesPage has configurations of other people's proxies.
const proxiesPage = "docs/deploy/proxies.md"

// frontProxy is a proxy in front of Sentinel, with a configuration of the page.
type frontProxy struct {
	program, section, language string
	environ                    []string              // what the page sets for Sentinel, beside where it listens
	wrap                       string                // what makes the snippet a whole file; %s is the snippet
	command                    func(string) []string // runs it in the foreground with a file
	tls                        bool
}

var frontProxies = []frontProxy{
	{
		program: "nginx", section: "## nginx", language: "nginx", tls: true, environ: []string{"TRUSTED_PROXY_IPS=127.0.0.1"},
		wrap:    "daemon off; pid DIR/pid; error_log stderr; events {} http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;\n%s}\n",
		command: func(file string) []string { return []string{"-c", file, "-p", filepath.Dir(file)} },
	},
	{
		program: "haproxy", section: "## HAProxy", language: "haproxy", tls: true, environ: []string{"TRUSTED_PROXY_IPS=127.0.0.1"},
		wrap: "%s", command: func(file string) []string { return []string{"-db", "-f", file} },
	},
	{
		program: "haproxy", section: "## HAProxy in TCP mode", language: "haproxy", environ: []string{"TRUSTED_PROXY_IPS=127.0.0.1", "SENTINEL_PROXY_PROTOCOL=true"},
		wrap: "%s", command: func(file string) []string { return []string{"-db", "-f", file} },
	},
	{
		program: "caddy", section: "## Caddy", language: "caddyfile", tls: true, environ: []string{"TRUSTED_PROXY_IPS=127.0.0.1, ::1"},
		wrap:    "{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system DIR\n}\n%s",
		command: func(file string) []string { return []string{"run", "--adapter", "caddyfile", "--config", file} },
	},
}

// snippet returns the first code of a language below a heading of a page.
func snippet(t *testing.T, page, heading, language string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, page))
	must(t, err)
	_, below, found := strings.Cut(string(raw), "\n"+heading+"\n")
	match := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```").FindStringSubmatch(below)
	if !found || match == nil {
		t.Fatalf("%s: no %s below %s", page, language, heading)
	}
	return match[1]
}

// replaceAll replaces what has to be there, each piece once.
func replaceAll(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i, old := range pairs {
		if i%2 == 0 && !strings.Contains(text, old) {
			t.Fatalf("no %q in:\n%s", old, text)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// start runs the proxy with the snippet of the page, its ports and paths apart,
// and returns its address.
func (p frontProxy) start(t *testing.T, ca *authority, upstream string) string {
	t.Helper()
	return p.run(t, ca, snippet(t, proxiesPage, p.section, p.language), "127.0.0.1:7000", upstream)
}

// run does the same with a configuration, and what is to be replaced in it: pairs of old
// and new.
func (p frontProxy) run(t *testing.T, ca *authority, configuration string, pairs ...string) string {
	t.Helper()
	path, err := exec.LookPath(p.program)
	if err != nil {
		message := fmt.Sprintf("missing: %s, which runs the configurations of %s: apt-get install nginx-light haproxy caddy", p.program, proxiesPage)
		if requireServers {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	ca.issue(cert, key)
	switch {
	case p.program == "nginx":
		pairs = append(pairs, "443", address, "/etc/nginx/tls/llm.crt", cert, "/etc/nginx/tls/llm.key", key)
	case p.program == "caddy":
		pairs = append(pairs, "llm.example.com {", "https://"+address+" {\n    tls "+cert+" "+key)
	case p.tls:
		both := filepath.Join(dir, "llm.pem")
		must(t, os.WriteFile(both, append(read(t, cert), read(t, key)...), 0o600))
		pairs = append(pairs, ":443", address, "/etc/haproxy/llm.pem", both)
	default:
		pairs = append(pairs, ":443", address)
	}
	text := replaceAll(t, configuration, pairs...)
	file := filepath.Join(dir, "proxy.conf")
	must(t, os.WriteFile(file, []byte(strings.ReplaceAll(fmt.Sprintf(p.wrap, text), "DIR", dir)), 0o600))
	log := newLogBuffer()
	cmd := exec.Command(path, p.command(file)...)
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // it ends by the signal
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.program, log)
		}
	})
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return address
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %v", p.program, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	must(t, err)
	return raw
}

// TestProxiesOfThePage runs the configurations of the page as they stand there:
// the client's own address counts, and no header that it forges.
func TestProxiesOfThePage(t *testing.T) {
	for i, p := range frontProxies {
		t.Run(strings.TrimPrefix(p.section, "## "), func(t *testing.T) {
			key := testKey(9750 + i)
			sentinel := startSentinel(t, startGateway(t, key).url, p.environ...)
			ca := newAuthority(t)
			address := p.start(t, ca, strings.TrimPrefix(sentinel.url, "http://"))
			url, scheme := "", "http"
			if p.tls {
				scheme = "https"
			}
			url = scheme + "://" + address + "/v1/echo"
			for _, test := range []struct {
				from   string
				status int
			}{{"127.0.0.3", 200}, {"127.0.0.4", 403}, {"127.0.0.3", 200}} {
				status, echo := throughProxy(t, ca, test.from, url, key)
				if status != test.status {
					t.Errorf("from %s: got %d, want %d", test.from, status, test.status)
				}
				if told := echo.Header("X-Real-Ip") + " " + echo.Header("X-Forwarded-For"); status == 200 && told != test.from+" "+test.from {
					t.Errorf("from %s: the gateway was told %q", test.from, told)
				}
			}
		})
	}
}

// throughProxy asks from an address, with forged headers of every kind that says
// another one.
func throughProxy(t *testing.T, ca *authority, from, url, key string) (int, gateway.Echo) {
	t.Helper()
	client := ca.client(false)
	client.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext
	r := withKey(t, "GET", url, key)
	for _, name := range []string{"X-Real-IP", "X-Forwarded-For", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP"} {
		r.Header.Set(name, "127.0.0.3")
	}
	r.Header["X_Real_IP"] = []string{"127.0.0.3"}
	r.Header.Set("Forwarded", "for=127.0.0.3")
	res, err := client.Do(r)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	var echo gateway.Echo
	if res.StatusCode == http.StatusOK {
		must(t, json.Unmarshal(body, &echo))
	}
	return res.StatusCode, echo
}

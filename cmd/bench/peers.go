//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// plainProxyWord makes this program a plain proxy.
const plainProxyWord = "plainproxy"

// runPlainProxy serves on the first argument, and forwards to the second.
func runPlainProxy(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%w: %s ADDRESS URL", errUsage, plainProxyWord)
	}
	target, err := url.Parse(args[1])
	if err != nil {
		return err
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return errors.New("the default transport is not net/http's")
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = connections // or most requests would open a connection
	server := &http.Server{
		Addr: args[0], ReadHeaderTimeout: headTimeout,
		Handler: &httputil.ReverseProxy{
			Transport: transport,
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.SetXForwarded()
			},
		},
	}
	go func() {
		<-ctx.Done()
		_ = server.Close() // the process ends
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// peer is a proxy that Sentinel is compared with.
type peer struct {
	cmd  *exec.Cmd
	addr string
}

func (p *peer) pid() int { return p.cmd.Process.Pid }

// stop ends the peer, however it takes it.
func (p *peer) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) {
		return err
	}
	return nil
}

func startPlainProxy(ctx context.Context, downstream string) (*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return startPeer(exec.CommandContext(ctx, self, plainProxyWord, addr, downstream), addr) // #nosec G204 -- this very program
}

const nginxConfig = `
worker_processes %d;
worker_rlimit_nofile 10000;
daemon off;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    upstream downstream { server %s; keepalive 512; keepalive_requests 1000000000; }
    server {
        listen %s reuseport;
        location / {
            proxy_pass http://downstream;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffering off;
            proxy_request_buffering off;
        }
    }
}
`

// startNginx returns nil if nginx is not installed.
func startNginx(ctx context.Context, dir, downstream string) (*peer, error) {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		return nil, nil
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "nginx")
	if err := os.Mkdir(dir, 0o755); err != nil { // #nosec G301 -- its workers may run as another user
		return nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, runtime.NumCPU(), downstream, addr), 0o600); err != nil {
		return nil, err
	}
	return startPeer(exec.CommandContext(ctx, binary, "-e", "stderr", "-p", dir, "-c", config), addr) // #nosec G204 -- found on PATH
}

func startPeer(cmd *exec.Cmd, addr string) (*peer, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	const patience = 10 * time.Second
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return &peer{cmd: cmd, addr: addr}, conn.Close()
		}
		if time.Since(start) > patience {
			return nil, errors.Join(fmt.Errorf("%s does not listen: %w", filepath.Base(cmd.Path), err), cmd.Process.Kill(), cmd.Wait())
		}
	}
}

// freeAddr returns a loopback address that nothing listens on at the moment.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

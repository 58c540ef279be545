//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// peer is a proxy that Sentinel is compared with.
type peer struct {
	name text
	addr string
	cmds []*exec.Cmd
}

// cpu returns the CPU seconds of its processes until now.
func (p *peer) cpu() (float64, error) {
	sum := 0.0
	for _, cmd := range p.cmds {
		seconds, err := readCPU(cmd.Process.Pid)
		if err != nil {
			return 0, err
		}
		sum += seconds
	}
	return sum, nil
}

// stop ends the peer, however it takes it.
func (p *peer) stop() error {
	var errs []error
	for _, cmd := range p.cmds {
		errs = append(errs, cmd.Process.Signal(syscall.SIGTERM))
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// startPeer starts a peer in front of a downstream, with its files in a directory
// of its own. It returns nil if what it needs is not installed.
type startPeer func(ctx context.Context, dir, downstream string) (*peer, error)

// startPeers starts those of some peers that are installed.
func startPeers(ctx context.Context, dir, downstream string, starts ...startPeer) (peers []*peer, err error) {
	for _, start := range starts {
		own, err := os.MkdirTemp(dir, "peer-")
		if err == nil {
			err = os.Chmod(own, 0o755) // #nosec G302 -- nginx's workers may run as another user
		}
		var p *peer
		if err == nil {
			p, err = start(ctx, own, downstream)
		}
		if err != nil {
			return nil, errors.Join(err, stopAll(peers))
		}
		if p != nil {
			peers = append(peers, p)
		}
	}
	return peers, nil
}

// startNginx starts nginx as a plain proxy.
func startNginx(ctx context.Context, dir, downstream string) (*peer, error) {
	return nginxPeer(ctx, dir, downstream, "")
}

// startNginxRefusing starts nginx as a proxy that refuses the keys of a series, and
// writes a line into a log for each request that it refuses.
func startNginxRefusing(series string) startPeer {
	return func(ctx context.Context, dir, downstream string) (*peer, error) {
		return nginxPeer(ctx, dir, downstream, fmt.Sprintf(`if ($http_authorization ~ "^Bearer sk-%s") { access_log refused.log; return 403; }`, series))
	}
}

// nginxPeer starts nginx alone, with what is said of each request.
func nginxPeer(ctx context.Context, dir, downstream, said string) (*peer, error) {
	cmd, addr, err := nginx(ctx, dir, func(addr string) string {
		return fmt.Sprintf(nginxConfig, runtime.NumCPU(), downstream, "", addr, said, "")
	})
	if cmd == nil || err != nil {
		return nil, err
	}
	return &peer{name: same("nginx"), addr: addr, cmds: []*exec.Cmd{cmd}}, nil
}

var nginxAuthName = text{"nginx + auth service", "nginx + 鉴权服务"}

// startNginxAuth starts nginx, and a service that it asks about each request.
func startNginxAuth(ctx context.Context, dir, downstream string) (*peer, error) {
	if _, err := exec.LookPath("nginx"); err != nil {
		return nil, nil
	}
	service, asked, err := startSelf(ctx, authServiceWord)
	if err != nil {
		return nil, err
	}
	cmd, addr, err := nginx(ctx, dir, func(addr string) string {
		upstream := fmt.Sprintf("upstream auth { server %s; keepalive 512; keepalive_requests 1000000000; }", asked)
		return fmt.Sprintf(nginxConfig, runtime.NumCPU(), downstream, upstream, addr, "auth_request /check;", nginxCheck)
	})
	p := &peer{name: nginxAuthName, addr: addr, cmds: []*exec.Cmd{service}}
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	p.cmds = append(p.cmds, cmd)
	return p, nil
}

// nginxConfig takes the number of workers, the downstream, another upstream, the
// address, what is said of each request, and another location.
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
    client_max_body_size 0;
    upstream downstream { server %s; keepalive 512; keepalive_requests 1000000000; }
    %s
    server {
        listen %s reuseport;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / {
            %s
            proxy_pass http://downstream;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffering off;
            proxy_request_buffering off;
        }
        %s
    }
}
`

const nginxCheck = `location = /check {
            internal;
            proxy_pass http://auth;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
            proxy_set_header X-Real-IP $remote_addr;
        }`

// nginx starts nginx with the configuration for an address. It returns nil if nginx
// is not installed.
func nginx(ctx context.Context, dir string, config func(addr string) string) (*exec.Cmd, string, error) {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		return nil, "", nil
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config(addr)), 0o600); err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, binary, "-e", "stderr", "-p", dir, "-c", file) // #nosec G204 -- found on PATH
	return cmd, addr, startListening(cmd, addr)
}

// haproxyConfig takes the number of threads, the address and the downstream.
const haproxyConfig = `
global
    nbthread %d
    maxconn 6000
defaults
    mode http
    option http-keep-alive
    option http-no-delay
    option forwardfor
    http-reuse always
    timeout connect 5s
    timeout client 600s
    timeout server 600s
frontend clients
    bind %s
    default_backend downstream
backend downstream
    server it %s maxconn 6000 pool-max-conn 1024
`

// startHAProxy starts HAProxy as a plain proxy. Without http-no-delay, it would hold
// back the events of a stream.
func startHAProxy(ctx context.Context, dir, downstream string) (*peer, error) {
	binary, err := exec.LookPath("haproxy")
	if err != nil {
		return nil, nil
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, fmt.Appendf(nil, haproxyConfig, runtime.NumCPU(), addr, downstream), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "-db", "-q", "-f", file) // #nosec G204 -- found on PATH
	return &peer{name: same("HAProxy"), addr: addr, cmds: []*exec.Cmd{cmd}}, startListening(cmd, addr)
}

// startPlainProxy starts Go's own proxy.
func startPlainProxy(ctx context.Context, _, downstream string) (*peer, error) {
	cmd, addr, err := startSelf(ctx, plainProxyWord, "http://"+downstream)
	return &peer{name: text{"plain Go proxy", "普通 Go 代理"}, addr: addr, cmds: []*exec.Cmd{cmd}}, err
}

// startSelf starts this very program as something else, with a free address as the
// first argument.
func startSelf(ctx context.Context, word string, args ...string) (*exec.Cmd, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{word, addr}, args...)...) // #nosec G204 -- this very program
	return cmd, addr, startListening(cmd, addr)
}

// startListening starts a process and waits until it listens.
func startListening(cmd *exec.Cmd, addr string) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	const patience = 10 * time.Second
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if time.Since(start) > patience {
			return errors.Join(fmt.Errorf("%s does not listen: %w", filepath.Base(cmd.Path), err), cmd.Process.Kill(), cmd.Wait())
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

// Package upstream runs what stands for the gateway behind the binary under test.
package upstream

import (
	"errors"
	"net"
	"net/http"
	"time"
)

// headTimeout is how long the head of a request may take.
const headTimeout = 30 * time.Second

// Server is one that runs.
type Server struct {
	server   *http.Server
	listener net.Listener
}

// Start starts one on a free port of the loopback address. Who calls it calls Close.
func Start(h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{&http.Server{Handler: h, ReadHeaderTimeout: headTimeout}, l}
	go func() { _ = s.server.Serve(l) }() // returns when it is closed
	return s, nil
}

// Addr returns host and port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL returns where requests are forwarded to.
func (s *Server) URL() string { return "http://" + s.Addr() }

// Close ends it, with requests that are under way.
func (s *Server) Close() error {
	if err := s.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

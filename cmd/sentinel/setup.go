package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

const (
	// setupPage is where the first account is made.
	setupPage = "/admin/ui/setup"
	// setupLinkPath makes a new setup address. It is on the socket of the data
	// directory alone: who can open that may make accounts in any case.
	setupLinkPath = "/setup/link"
)

// setupLink is an address at which the first account can be made, once.
type setupLink struct {
	Address   string    `json:"address"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// newSetupLink makes a link, and ends the one before.
func (n *node) newSetupLink() setupLink {
	token, expires := n.accounts.BeginSetup()
	address := n.public.Addr().String()
	if n.admin != nil {
		address = n.admin.Addr().String()
	}
	u := url.URL{Scheme: "http", Host: reachable(address), Path: setupPage, RawQuery: url.Values{"token": {token}}.Encode()}
	if n.cfg.TLSCert != "" {
		u.Scheme = "https"
	}
	return setupLink{Address: u.String(), ExpiresAt: expires}
}

// printSetupLink tells where the first account is made, as long as there is none.
// The link is a secret, so it goes to the person who has started the program, and
// not into the log.
func (n *node) printSetupLink(ctx context.Context, out io.Writer) error {
	empty, err := n.accounts.Empty(ctx)
	if err != nil || !empty {
		return err
	}
	if out == nil { // nobody to tell
		return nil
	}
	n.logger.Info("there is no account yet: standard output has the address at which the first one is made, and so has: sentinel admin setup-link")
	link := n.newSetupLink()
	_, err = fmt.Fprintf(out, "There is no account yet. Within %.0f minutes, make the first one at\n\n    %s\n\nLater: sentinel admin setup-link\n",
		time.Until(link.ExpiresAt).Minutes(), link.Address)
	if err != nil {
		n.logger.Warn("the setup address could not be printed; sentinel admin setup-link makes another", "error", err)
	}
	return nil
}

// withSetupLink adds the making of links to what the local socket serves.
func (n *node) withSetupLink(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != admin.Base+setupLinkPath {
			next.ServeHTTP(w, r)
			return
		}
		empty, err := n.accounts.Empty(r.Context())
		switch {
		case err != nil:
			n.logger.Error("look for accounts", "error", err)
			answerJSON(w, http.StatusServiceUnavailable, localProblem{"store_unavailable", "the store does not answer"})
		case !empty:
			answerJSON(w, http.StatusGone, localProblem{"setup_over", "there are accounts: sign in, or use sentinel admin create or sentinel admin reset-password"})
		default:
			n.logger.Info("setup address made on this machine; the one before is over")
			answerJSON(w, http.StatusOK, n.newSetupLink())
		}
	})
}

// localProblem is an error in the shape of the admin API.
type localProblem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func answerJSON(w http.ResponseWriter, status int, value any) {
	kind := "application/json"
	if status >= http.StatusBadRequest {
		kind = "application/problem+json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the caller may have left
}

// reachable returns an address that a person can open for one that is listened
// on: of all addresses, the first that other machines see.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		return listen
	}
	addrs, _ := net.InterfaceAddrs() // none: localhost
	return net.JoinHostPort(bestHost(addrs), port)
}

// bestHost prefers IPv4, which everybody can type.
func bestHost(addrs []net.Addr) string {
	best := "localhost"
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		switch ip := prefix.Addr().Unmap(); {
		case ip.IsLoopback() || ip.IsLinkLocalUnicast():
		case ip.Is4():
			return ip.String()
		case best == "localhost":
			best = ip.String()
		}
	}
	return best
}

package redis

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Examples of addresses, shown with their faults.
const addressExample = "such as redis.example.com:6379, rediss://USER@redis.example.com:6379/0, or several host:port separated by commas"

// maxDB is more than any server is set to have.
const maxDB = 1 << 16

// Server is where Redis is.
type Server struct {
	// Addresses is host:port, a redis:// or rediss:// URL, or several host:port separated
	// by commas: of the nodes of a Redis Cluster, or, with MasterName, of Sentinels.
	Addresses string
	// Username and Password are of the ACL, or of requirepass. Those of a URL may be in
	// their place.
	Username, Password string
	// SentinelPassword is that of the Sentinels.
	SentinelPassword string
	// DB is the number of the database; a Redis Cluster has 0 only.
	DB int
	// MasterName is what Sentinels call the server.
	MasterName string
	// TLS connects by TLS. CA are whom the certificate must come from, as PEM; empty: whom
	// the system trusts. Either way the name in the address must be that of the
	// certificate.
	TLS bool
	CA  []byte
}

// Validate returns store.ErrInvalid for the first fault. Nothing secret is in it.
func (s Server) Validate() error {
	_, err := s.options()
	return err
}

// IsTLS reports whether it is connected to by TLS.
func (s Server) IsTLS() bool {
	return s.TLS || strings.HasPrefix(strings.ToLower(s.Addresses), "rediss://")
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", store.ErrInvalid, fmt.Sprintf(format, args...))
}

// options reads what is given.
func (s Server) options() (*goredis.UniversalOptions, error) {
	if strings.Contains(s.Addresses, "://") {
		if err := s.readURL(); err != nil {
			return nil, err
		}
	}
	o := &goredis.UniversalOptions{
		Username: s.Username, Password: s.Password, SentinelPassword: s.SentinelPassword, DB: s.DB, MasterName: s.MasterName,
		DisableIdentity: true, // servers before 7.2 do not know it
	}
	for address := range strings.SplitSeq(s.Addresses, ",") {
		address, err := parseAddress(strings.TrimSpace(address))
		if err != nil {
			return nil, err
		}
		o.Addrs = append(o.Addrs, address)
	}
	switch {
	case s.DB < 0 || s.DB > maxDB:
		return nil, invalid("the database is %d, want 0 to %d", s.DB, maxDB)
	case s.DB != 0 && len(o.Addrs) > 1 && s.MasterName == "":
		return nil, invalid("several addresses are those of a Redis Cluster, which has the database 0 only")
	case s.Username != "" && s.Password == "":
		return nil, invalid("there is a user without a password")
	case len(s.CA) > 0 && !s.TLS:
		return nil, invalid("there are certificates for TLS, and TLS is off")
	}
	if s.TLS {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if len(s.CA) > 0 {
			o.TLSConfig.RootCAs = x509.NewCertPool()
			if !o.TLSConfig.RootCAs.AppendCertsFromPEM(s.CA) {
				return nil, invalid("there is no certificate in PEM")
			}
		}
	}
	return o, nil
}

// parseAddress returns an address with its port.
func parseAddress(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil && !strings.Contains(address, ":") {
		host, port, err = address, "6379", nil
	}
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || portErr != nil || n == 0 || strings.ContainsAny(host, "@/ ") {
		return "", invalid("an address is no host:port, want one %s", addressExample)
	}
	return net.JoinHostPort(host, port), nil
}

// readURL takes what a URL says in place of what is not given elsewhere.
func (s *Server) readURL() error {
	u, err := url.Parse(s.Addresses)
	if err != nil {
		return invalid("the URL cannot be read, want one %s; special characters of the password have to be percent-encoded", addressExample)
	}
	switch strings.ToLower(u.Scheme) {
	case "redis":
	case "rediss":
		s.TLS = true
	default:
		return invalid("the URL is for %q, want redis:// or rediss://", u.Scheme)
	}
	password, has := u.User.Password()
	if has && s.Password != "" && s.Password != password {
		return invalid("the URL has a password, and there is another one beside it")
	}
	if has {
		s.Password = password
	}
	if name := u.User.Username(); name != "" && s.Username != "" && s.Username != name {
		return invalid("the URL has a user, and there is another one beside it")
	} else if name != "" {
		s.Username = name
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		n, err := strconv.Atoi(db)
		if err != nil || s.DB != 0 && s.DB != n {
			return invalid("the URL ends with /%s, want the number of the database, and no other one beside it", strings.ToValidUTF8(db[:min(len(db), 16)], ""))
		}
		s.DB = n
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return invalid("the URL has parameters, which are not read: remove what follows the ?")
	}
	s.Addresses = u.Host
	return nil
}

package gateway

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// ReadKeys reads API keys and access tokens, one a line, into the options. An
// access token has "access-token " before it. Empty lines and lines that begin
// with "#" do not count.
func (o *Options) ReadKeys(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch token, isToken := strings.CutPrefix(line, "access-token "); {
		case line == "" || strings.HasPrefix(line, "#"):
		case isToken:
			o.AccessTokens = append(o.AccessTokens, strings.TrimSpace(token))
		default:
			o.Keys = append(o.Keys, line)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
)

func newExplainIPCommand() *cobra.Command {
	names := []string{"TRUSTED_PROXY_IPS", "SENTINEL_REAL_IP_HEADER", "SENTINEL_NAT64"}
	var (
		peer    string
		headers []string
		output  string
		running string
	)
	cmd := &cobra.Command{
		Use:   "explain-ip --peer ADDR:PORT [--header 'Name: value']…",
		Short: "Tell which client IP a request has, and why",
		Example: "  sentinel explain-ip --peer 10.0.0.7:51000 --header 'X-Real-IP: 203.0.113.9'\n" +
			"  sentinel explain-ip --trusted-proxy-ips 10.0.0.0/8 --real-ip-header X-Forwarded-For \\\n" +
			"      --peer 10.0.0.7:51000 --header 'X-Forwarded-For: 203.0.113.9, 10.0.0.8'",
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			src := sourcesOf(cmd)
			if running != "" {
				inForce, err := settingsInForce(cmd.Context(), running, names)
				if err != nil {
					return err
				}
				src.environ, src.envFile, src.envFileNamed = inForce, "", false // flags still beat them: what if
			}
			cfg, err := loadSome(src, names...)
			if err != nil {
				return err
			}
			h, err := parseHeaders(headers)
			if err != nil {
				return err
			}
			if peer == "" {
				return usagef("--peer is missing; want the address that the connection comes from, e.g. 10.0.0.7:51000")
			}
			resolver, err := clientip.New(clientIPOptionsOf(cfg))
			if err != nil {
				return &usageError{err}
			}
			return printExplanation(cmd.OutOrStdout(), output, resolver.Explain(peer, h))
		},
	}
	cmd.Flags().StringVar(&peer, "peer", "", "the address that the connection comes from, as ADDR:PORT")
	cmd.Flags().StringArrayVar(&headers, "header", nil, "a header of the request, as 'Name: value'; repeat it for more")
	cmd.Flags().StringVar(&running, "running", "", "take the settings in force in the server that runs on this data directory, which may have been changed\nwhile it ran; flags still beat them")
	cmd.Flags().StringVar(&output, "output", "text", "text or json")
	addSettingFlags(cmd, names...)
	return cmd
}

// settingsInForce asks the server on a data directory for settings, as an
// environment would have them.
func settingsInForce(ctx context.Context, dir string, names []string) ([]string, error) {
	c := client.Local(dir)
	defer c.Close()
	var answer settingsAnswer
	if err := c.Do(ctx, http.MethodGet, settingsPath, nil, &answer); err != nil {
		return nil, err
	}
	var environ []string
	for _, s := range answer.Items {
		if slices.Contains(names, s.Name) {
			environ = append(environ, s.Name+"="+s.Value)
		}
	}
	return environ, nil
}

func parseHeaders(lines []string) (http.Header, error) {
	h := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if _, err := parseHeaderName(name); !ok || name == "" || err != nil {
			return nil, usagef("--header=%.200q: not a header; want Name: value, e.g. X-Real-IP: 203.0.113.9", line)
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return h, nil
}

func printExplanation(w io.Writer, output string, e clientip.Explanation) error {
	switch output {
	case "text":
		_, err := e.WriteTo(w)
		return err
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(e)
	}
	return usagef("--output=%q: unknown form; want text or json", output)
}

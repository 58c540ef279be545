package main

import "testing"

func TestNearest(t *testing.T) {
	tests := []struct{ name, want string }{
		{"SENTINEL_MAX_BDOY", "SENTINEL_MAX_BODY"},
		{"MAX_BODY", "SENTINEL_MAX_BODY"},
		{"SENTINEL_ADMIN_PASSWORD", "ADMIN_PASSWORD"},
		{"SENTINEL_DOWNSTREAM_URL", "DOWNSTREAM_URL"},
		{"downstream-url", "DOWNSTREAM_URL"},
		{"TRUSTED_PROXY_IP", "TRUSTED_PROXY_IPS"},
		{"SENTINEL_BIND_PREFIX_V5", "SENTINEL_BIND_PREFIX_V4"},
		{"SENTINEL_SERVICE_HOST", ""},
		{"POSTGRES_PASSWORD", ""},
		{"", ""},
	}
	for _, test := range tests {
		if got := nearest(test.name, settingNames()); got != test.want {
			t.Errorf("%q: got %q, want %q", test.name, got, test.want)
		}
	}
}

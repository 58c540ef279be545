package ui_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

var update = flag.Bool("update", false, "write openapi.json anew")

const documentFile = "openapi.json"

// noSettings is not asked for any: the document does not depend on them.
type noSettings struct{}

func (noSettings) List() []admin.Setting { return nil }
func (noSettings) Change(context.Context, admin.SettingsChange) (admin.ChangedSettings, error) {
	return admin.ChangedSettings{}, nil
}

// TestOpenAPI makes sure that the types of the console are those of the API:
// they are made from openapi.json, which is what the API says of itself.
func TestOpenAPI(t *testing.T) {
	document, err := json.Marshal(newAPI(t).OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Indent(&want, document, "", "  "); err != nil {
		t.Fatal(err)
	}
	want.WriteByte('\n')
	if *update {
		if err := os.WriteFile(documentFile, want.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the API says of itself: run make ui-types", documentFile)
	}
}

func newAPI(t *testing.T) *admin.API {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	secret := []byte(strings.Repeat("secret for tests only ", 2))
	store, logger := memory.New(), slog.New(slog.DiscardHandler)
	resolver, err := clientip.New(clientip.Options{})
	must(err)
	keys, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: secret})
	must(err)
	e, err := engine.New(engine.Options{
		Store: store, Resolver: resolver, Credentials: keys, Policy: engine.DefaultPolicy(), Logger: logger, CacheEntries: 10,
	})
	must(err)
	t.Cleanup(func() { must(e.Close(context.Background())) })
	accounts, err := account.New(t.Context(), account.Options{Documents: store, Key: secret[:32], Logger: logger})
	must(err)
	t.Cleanup(func() { must(accounts.Close(context.Background())) })
	alerts, err := alert.New(t.Context(), alert.Options{Documents: store, Logger: logger, Key: secret[:32], Settings: alert.DefaultSettings()})
	must(err)
	t.Cleanup(func() { must(alerts.Close(context.Background())) })
	api, err := admin.New(admin.Options{
		Engine: e, Accounts: accounts, Alerts: alerts, Resolver: resolver, Store: store, Settings: noSettings{}, Logger: logger,
		JWTSecret: secret, LocalToken: "local token for tests only", Version: "0.0.0",
	})
	must(err)
	return api
}

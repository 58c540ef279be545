package storetest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// calls is every method that takes a context.
var calls = []struct {
	name string
	call func(ctx context.Context, s store.Store) error
}{
	{"Binding", func(ctx context.Context, s store.Store) error {
		_, err := s.Binding(ctx, Hash(1))
		return err
	}},
	{"Bind", func(ctx context.Context, s store.Store) error {
		_, _, err := s.Bind(ctx, Binding(1))
		return err
	}},
	{"ReplaceBinding", func(ctx context.Context, s store.Store) error {
		_, err := s.ReplaceBinding(ctx, Binding(1))
		return err
	}},
	{"DeleteBinding", func(ctx context.Context, s store.Store) error {
		_, err := s.DeleteBinding(ctx, Hash(1), 1)
		return err
	}},
	{"ListBindings", func(ctx context.Context, s store.Store) error {
		_, err := s.ListBindings(ctx, store.KeyHash{}, 10)
		return err
	}},
	{"CountBindings", func(ctx context.Context, s store.Store) error {
		_, err := s.CountBindings(ctx)
		return err
	}},
	{"PutIntercepts", func(ctx context.Context, s store.Store) error {
		return s.PutIntercepts(ctx, []store.Intercept{Intercept(1)})
	}},
	{"ListIntercepts", func(ctx context.Context, s store.Store) error {
		_, err := s.ListIntercepts(ctx, store.InterceptFilter{})
		return err
	}},
	{"AddUsage", func(ctx context.Context, s store.Store) error {
		return s.AddUsage(ctx, store.UsageBatch{Counters: []store.Counter{{Hour: hour, Name: "requests", N: 1}}})
	}},
	{"Usage", func(ctx context.Context, s store.Store) error {
		_, err := s.Usage(ctx, Hash(1))
		return err
	}},
	{"Counters", func(ctx context.Context, s store.Store) error {
		_, err := s.Counters(ctx, hour, hour.Add(time.Hour))
		return err
	}},
	{"FindBindings", func(ctx context.Context, s store.Store) error {
		_, err := s.FindBindings(ctx, store.BindingQuery{})
		return err
	}},
	{"ArchiveBindings", func(ctx context.Context, s store.Store) error {
		_, err := s.ArchiveBindings(ctx, []store.KeyHash{Hash(1)}, archiveTime, archiveTime)
		return err
	}},
	{"RestoreBinding", func(ctx context.Context, s store.Store) error {
		_, err := s.RestoreBinding(ctx, Hash(1), archiveTime)
		return err
	}},
	{"Archived", func(ctx context.Context, s store.Store) error {
		_, err := s.Archived(ctx, Hash(1))
		return err
	}},
	{"FindArchived", func(ctx context.Context, s store.Store) error {
		_, err := s.FindArchived(ctx, store.ArchiveQuery{})
		return err
	}},
	{"CountArchived", func(ctx context.Context, s store.Store) error {
		_, err := s.CountArchived(ctx)
		return err
	}},
	{"PurgeArchive", func(ctx context.Context, s store.Store) error {
		_, err := s.PurgeArchive(ctx, archiveTime, 10)
		return err
	}},
	{"DeleteIntercepts", func(ctx context.Context, s store.Store) error {
		_, err := s.DeleteIntercepts(ctx, archiveTime, 10)
		return err
	}},
	{"DeleteCounters", func(ctx context.Context, s store.Store) error {
		_, err := s.DeleteCounters(ctx, archiveTime, 10)
		return err
	}},
	{"Document", func(ctx context.Context, s store.Store) error {
		_, err := s.Document(ctx, "account", "ada")
		return err
	}},
	{"ListDocuments", func(ctx context.Context, s store.Store) error {
		_, err := s.ListDocuments(ctx, "account")
		return err
	}},
	{"PutDocument", func(ctx context.Context, s store.Store) error {
		_, err := s.PutDocument(ctx, store.Document{Kind: "account", ID: "ada", Body: json.RawMessage("1")})
		return err
	}},
	{"DeleteDocument", func(ctx context.Context, s store.Store) error {
		return s.DeleteDocument(ctx, "account", "ada", 1)
	}},
	{"ChangeDocuments", func(ctx context.Context, s store.Store) error {
		_, err := s.ChangeDocuments(ctx, []store.Document{{Kind: "account", ID: "ada", Body: json.RawMessage("1")}}, nil)
		return err
	}},
	{"AppendAudit", func(ctx context.Context, s store.Store) error {
		_, err := s.AppendAudit(ctx, AuditEntry(1))
		return err
	}},
	{"ListAudit", func(ctx context.Context, s store.Store) error {
		_, err := s.ListAudit(ctx, store.AuditFilter{})
		return err
	}},
	{"DeleteAudit", func(ctx context.Context, s store.Store) error {
		_, err := s.DeleteAudit(ctx, archiveTime, 10)
		return err
	}},
	{"Setting", func(ctx context.Context, s store.Store) error {
		_, err := s.Setting(ctx, "mode")
		return err
	}},
	{"PutSetting", func(ctx context.Context, s store.Store) error { return s.PutSetting(ctx, "mode", nil) }},
	{"DeleteSetting", func(ctx context.Context, s store.Store) error { return s.DeleteSetting(ctx, "mode") }},
	{"Probe", func(ctx context.Context, s store.Store) error { return s.Probe(ctx) }},
}

var endTests = []test{
	{"Probe", func(t *testing.T, s store.Store) {
		for range 3 {
			wantErr(t, "probe", s.Probe(t.Context()), nil)
		}
	}},
	{"DoneContext", func(t *testing.T, s store.Store) {
		late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
		defer cancel()
		for _, c := range calls {
			wantErr(t, c.name+" canceled", c.call(canceled(t), s), context.Canceled)
			wantErr(t, c.name+" too late", c.call(late, s), context.DeadlineExceeded)
		}
		want(t, "bindings", ok(s.CountBindings(t.Context()))(t), 0)
		want(t, "documents", len(ok(s.ListDocuments(t.Context(), "account"))(t)), 0)
		want(t, "audit", len(auditIDs(t, s, store.AuditFilter{})), 0)
	}},
	{"AfterClose", func(t *testing.T, s store.Store) {
		wantErr(t, "close", s.Close(), nil)
		for _, c := range calls {
			wantErr(t, c.name, c.call(t.Context(), s), store.ErrUnavailable)
		}
	}},
	{"CloseAgain", func(t *testing.T, s store.Store) {
		together(4, func(int) {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		wantErr(t, "close again", s.Close(), nil)
	}},
	{"CloseAmongCalls", func(t *testing.T, s store.Store) {
		together(len(calls)+1, func(i int) {
			if i == len(calls) {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
				return
			}
			for n := 0; n < 1_000; n++ {
				if err := calls[i].call(t.Context(), s); isUnavailable(err) {
					return
				}
			}
		})
		wantErr(t, "probe", s.Probe(t.Context()), store.ErrUnavailable)
	}},
}

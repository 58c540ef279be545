package storetest

import (
	"context"
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
		want(t, "count", ok(s.CountBindings(t.Context()))(t), 0)
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

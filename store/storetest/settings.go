package storetest

import (
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

var settingTests = []test{
	{"UnknownNameIsNotFound", func(t *testing.T, s store.Store) {
		for _, name := range []string{"mode", ""} {
			_, err := s.Setting(t.Context(), name)
			wantErr(t, "read", err, store.ErrNotFound)
		}
	}},
	{"PutReplaces", func(t *testing.T, s store.Store) {
		for _, value := range []string{"observe", "", "\x00\xff binary", strings.Repeat("long", 10_000)} {
			wantErr(t, "put", s.PutSetting(t.Context(), "mode", []byte(value)), nil)
			want(t, "value", string(ok(s.Setting(t.Context(), "mode"))(t)), value)
		}
	}},
	{"NamesAreApart", func(t *testing.T, s store.Store) {
		wantErr(t, "put", s.PutSetting(t.Context(), "mode", []byte("1")), nil)
		wantErr(t, "put", s.PutSetting(t.Context(), "Mode", []byte("2")), nil)
		want(t, "value", string(ok(s.Setting(t.Context(), "mode"))(t)), "1")
	}},
	{"NameMustHaveALength", func(t *testing.T, s store.Store) {
		wantErr(t, "put", s.PutSetting(t.Context(), "", nil), store.ErrInvalid)
		wantErr(t, "put", s.PutSetting(t.Context(), strings.Repeat("n", store.MaxNameBytes+1), nil), store.ErrInvalid)
		wantErr(t, "put", s.PutSetting(t.Context(), strings.Repeat("n", store.MaxNameBytes), nil), nil)
	}},
	{"Delete", func(t *testing.T, s store.Store) {
		wantErr(t, "put", s.PutSetting(t.Context(), "mode", []byte("1")), nil)
		for range 2 {
			wantErr(t, "delete", s.DeleteSetting(t.Context(), "mode"), nil)
			_, err := s.Setting(t.Context(), "mode")
			wantErr(t, "read", err, store.ErrNotFound)
		}
	}},
	{"ValuesAreCopies", func(t *testing.T, s store.Store) {
		value := []byte("observe")
		wantErr(t, "put", s.PutSetting(t.Context(), "mode", value), nil)
		value[0] = 'X'
		ok(s.Setting(t.Context(), "mode"))(t)[0] = 'Y'
		want(t, "value", string(ok(s.Setting(t.Context(), "mode"))(t)), "observe")
	}},
}

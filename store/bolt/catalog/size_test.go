package catalog

import (
	"reflect"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// TestPlainRowIsSmall counts on 80 bytes for a key that was bound by its first use.
func TestPlainRowIsSmall(t *testing.T) {
	if n := reflect.TypeFor[row]().Size(); n != 80 {
		t.Errorf("a row takes %d bytes", n)
	}
	c := new(Catalog)
	for n := range 100 {
		c.Put(storetest.Binding(n))
	}
	if len(c.extras) != 0 {
		t.Errorf("%d extras for plain bindings", len(c.extras))
	}
	named := storetest.Binding(1)
	named.Rule = store.Rule{Kind: store.RuleMultiple, Networks: []string{"office"}}
	c.Put(named)
	c.Put(storetest.Binding(1))
	if len(c.extras) != 1 || len(c.free) != 1 || c.extras[0].sources != nil {
		t.Errorf("the extra of a rule that is gone is kept: %+v, free %v", c.extras, c.free)
	}
}

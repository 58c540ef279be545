package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// NetworkKind is the kind of the documents.
	NetworkKind = "network"

	// MaxNetworks is how many networks there may be.
	MaxNetworks = 1_000
	// MaxPrefixes is how many prefixes one network may have.
	MaxPrefixes = 10_000
	// MaxNoteBytes bounds the note of a network.
	MaxNoteBytes = 1_024
)

// Network is a list of prefixes with a name.
type Network struct {
	Name string `json:"name"`
	Note string `json:"note,omitempty"`
	// Prefixes has at least one.
	Prefixes []netip.Prefix `json:"prefixes"`
	// Shared says that many keys are used from each of its addresses, as from
	// behind an office's NAT: many first uses there mean nothing.
	Shared    bool      `json:"shared,omitempty"`
	CreatedAt time.Time `json:"createdAt"` // milliseconds, UTC
	UpdatedAt time.Time `json:"updatedAt"`
	Revision  uint64    `json:"-"`
}

func (n Network) clone() Network {
	n.Prefixes = slices.Clone(n.Prefixes)
	return n
}

// validate returns an error that wraps store.ErrInvalid and begins with the
// field.
func (n Network) validate() error {
	validateName := store.ValidateNetworkName
	if n.Revision == 0 {
		validateName = store.ValidateNewNetworkName
	}
	if err := validateName(n.Name); err != nil {
		return err
	}
	switch {
	case len(n.Note) > MaxNoteBytes:
		return fmt.Errorf("%w: note of %d bytes, at most %d", store.ErrInvalid, len(n.Note), MaxNoteBytes)
	case len(n.Prefixes) == 0:
		return fmt.Errorf("%w: prefixes: a network without any would match nothing", store.ErrInvalid)
	case len(n.Prefixes) > MaxPrefixes:
		return fmt.Errorf("%w: prefixes: there are %d, at most %d may be", store.ErrInvalid, len(n.Prefixes), MaxPrefixes)
	}
	for _, p := range n.Prefixes {
		if err := store.ValidatePrefix(p); err != nil {
			return err
		}
	}
	return nil
}

// Networks are the named networks. It is safe for concurrent use.
type Networks struct {
	documents store.Documents
	now       func() time.Time

	changing sync.Mutex   // held by changes, which write to the store
	naming   sync.RWMutex // held while a rule is stored that names networks
	mu       sync.RWMutex
	byName   map[string]Network
	sets     map[string]*Set // of every name that was ever asked for
	going    map[string]bool // are being removed, and must not be named any more

	shared atomic.Pointer[ipset.List]
}

// OpenNetworks reads the networks that the store has.
func OpenNetworks(ctx context.Context, documents store.Documents, now func() time.Time) (*Networks, error) {
	ns := &Networks{
		documents: documents, now: now,
		byName: map[string]Network{}, sets: map[string]*Set{}, going: map[string]bool{},
	}
	if err := ns.Reload(ctx); err != nil {
		return nil, err
	}
	return ns, nil
}

// Reload has in force what the store has, which others may have changed. It waits for
// changes under way. A network that cannot be read stays as it is, and is told in the
// error.
func (ns *Networks) Reload(ctx context.Context) error {
	ns.changing.Lock()
	defer ns.changing.Unlock()
	list, err := ns.documents.ListDocuments(ctx, NetworkKind)
	if err != nil {
		return fmt.Errorf("read networks: %w", err)
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	there := make(map[string]bool, len(list))
	var errs []error
	for _, d := range list {
		there[d.ID] = true
		if known, ok := ns.byName[d.ID]; ok && known.Revision == d.Revision {
			continue
		}
		if err := ns.readLocked(d); err != nil {
			errs = append(errs, fmt.Errorf("read network %q: %w: %w", d.ID, store.ErrDamaged, err))
		}
	}
	for name := range ns.byName {
		if !there[name] {
			ns.dropLocked(name)
		}
	}
	ns.shareLocked()
	return errors.Join(errs...)
}

// readLocked has the network of a document in force.
func (ns *Networks) readLocked(d store.Document) error {
	var n Network
	if err := json.Unmarshal(d.Body, &n); err != nil {
		return err
	}
	n.Name, n.Revision = d.ID, d.Revision
	return ns.setLocked(n)
}

// dropLocked has a name stand for nothing.
func (ns *Networks) dropLocked(name string) {
	delete(ns.byName, name)
	ns.handleLocked(name).prefixes.Store(nil)
}

// setLocked has a network in force.
func (ns *Networks) setLocked(n Network) error {
	prefixes, err := ipset.New(n.Prefixes)
	if err != nil {
		return err
	}
	ns.byName[n.Name] = n
	ns.handleLocked(n.Name).prefixes.Store(prefixes)
	return nil
}

func (ns *Networks) handleLocked(name string) *Set {
	s := ns.sets[name]
	if s == nil {
		s = &Set{name: name}
		ns.sets[name] = s
	}
	return s
}

func (ns *Networks) shareLocked() {
	var shared []netip.Prefix
	for _, n := range ns.byName {
		if n.Shared {
			shared = append(shared, n.Prefixes...)
		}
	}
	ns.shared.Store(ipset.NewList(shared))
}

// Set returns what a name stands for, now and later.
func (ns *Networks) Set(name string) *Set {
	ns.mu.RLock()
	s := ns.sets[name]
	ns.mu.RUnlock()
	if s != nil {
		return s
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.handleLocked(strings.Clone(name))
}

// Find returns the prefixes that a name stands for now.
func (ns *Networks) Find(name string) (*ipset.Set, bool) {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	s := ns.sets[name]
	if s == nil {
		return nil, false
	}
	prefixes := s.prefixes.Load()
	return prefixes, prefixes != nil
}

// IsShared reports whether an address is in a network that is marked as shared.
func (ns *Networks) IsShared(addr netip.Addr) bool { return ns.shared.Load().Contains(addr) }

// List returns all networks by name.
func (ns *Networks) List() []Network {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	list := make([]Network, 0, len(ns.byName))
	for _, name := range slices.Sorted(maps.Keys(ns.byName)) {
		list = append(list, ns.byName[name].clone())
	}
	return list
}

// Get returns one network. Returns store.ErrNotFound.
func (ns *Networks) Get(name string) (Network, error) {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	n, ok := ns.byName[name]
	if !ok {
		return Network{}, store.ErrNotFound
	}
	return n.clone(), nil
}

// Reaching returns the names of the networks that have an address of a prefix.
func (ns *Networks) Reaching(p netip.Prefix) []string {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	var names []string
	for name, n := range ns.byName {
		if slices.ContainsFunc(n.Prefixes, p.Overlaps) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Naming is to be called before a rule is stored, and done afterwards: in between
// no network that the rule names is removed. Returns an error that wraps
// store.ErrInvalid if the rule names a network that there is not.
func (ns *Networks) Naming(r store.Rule) (done func(), err error) {
	if len(r.Networks) == 0 {
		return func() {}, nil
	}
	ns.naming.RLock()
	if err := ns.Check(r); err != nil {
		ns.naming.RUnlock()
		return nil, err
	}
	return ns.naming.RUnlock, nil
}

// Check returns an error that wraps store.ErrInvalid if a rule names a network
// that there is not, or that is being removed.
func (ns *Networks) Check(r store.Rule) error {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	for _, name := range r.Networks {
		if _, ok := ns.byName[name]; !ok || ns.going[name] {
			return fmt.Errorf("%w: rule names network %q, which does not exist%s", store.ErrInvalid, name, ns.othersLocked(name))
		}
	}
	return nil
}

// maxNamed is how many networks are told to who names one that there is not.
const maxNamed = 10

func (ns *Networks) othersLocked(name string) string {
	names := slices.Sorted(maps.Keys(ns.byName))
	names = slices.DeleteFunc(names, func(n string) bool { return n == name }) // it is being removed
	if len(names) == 0 {
		return "; no network has been made yet"
	}
	more := ""
	if len(names) > maxNamed {
		names, more = names[:maxNamed], " and others"
	}
	return "; there are " + strings.Join(names, ", ") + more
}

// Put stores a network, in place of the one of its name whose revision is still
// n.Revision; 0 makes a new one. The times are set here. It returns the network as
// it was, the zero Network if there was none, and as it is. Returns
// store.ErrConflict, store.ErrNotFound if there is none to change, or an error
// that wraps store.ErrInvalid and names the field.
func (ns *Networks) Put(ctx context.Context, n Network) (before, after Network, err error) {
	if err := n.validate(); err != nil {
		return before, after, fmt.Errorf("put network: %w", err)
	}
	ns.changing.Lock()
	defer ns.changing.Unlock()
	ns.mu.RLock()
	before, exists := ns.byName[n.Name]
	count := len(ns.byName)
	ns.mu.RUnlock()
	switch {
	case !exists && n.Revision != 0:
		return before, after, fmt.Errorf("put network: %w", store.ErrNotFound)
	case before.Revision != n.Revision:
		return before, after, fmt.Errorf("put network: %w", store.ErrConflict)
	case !exists && count >= MaxNetworks:
		return before, after, fmt.Errorf("put network: %w: name: there are %d networks, and may be no more", store.ErrInvalid, count)
	}
	after = n.clone()
	after.UpdatedAt = store.StoredTime(ns.now())
	if after.CreatedAt = before.CreatedAt; !exists {
		after.CreatedAt = after.UpdatedAt
	}
	body, err := json.Marshal(after)
	if err != nil {
		return before, after, fmt.Errorf("put network: %w", err)
	}
	d, err := ns.documents.PutDocument(ctx, store.Document{Kind: NetworkKind, ID: n.Name, Revision: n.Revision, Body: body})
	if err != nil {
		return before, after, fmt.Errorf("put network: %w", err)
	}
	after.Revision = d.Revision
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if err := ns.setLocked(after.clone()); err != nil {
		return before, after, err
	}
	ns.shareLocked()
	return before, after, nil
}

// Remove removes a network whose revision is still the one given, once leave has
// seen to the rules that name it; meanwhile no rule can come to name it. Returns
// store.ErrNotFound, store.ErrConflict, or the error of leave.
func (ns *Networks) Remove(ctx context.Context, name string, revision uint64, leave func(Network) error) (Network, error) {
	ns.changing.Lock()
	defer ns.changing.Unlock()
	n, err := ns.Get(name)
	if err == nil && n.Revision != revision {
		err = store.ErrConflict
	}
	if err != nil {
		return n, fmt.Errorf("remove network: %w", err)
	}
	ns.setGoing(name, true)
	defer ns.setGoing(name, false)
	if err := leave(n); err != nil {
		return n, err
	}
	err = ns.documents.DeleteDocument(ctx, NetworkKind, name, revision)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return n, fmt.Errorf("remove network: %w", err)
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.dropLocked(name)
	ns.shareLocked()
	return n, nil
}

func (ns *Networks) setGoing(name string, going bool) {
	ns.naming.Lock() // until the rules that named it are stored
	defer ns.naming.Unlock()
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if going {
		ns.going[name] = true
	} else {
		delete(ns.going, name)
	}
}

// Package follow has what this process keeps in memory follow what others change in the
// store that they share: other nodes of a cluster.
//
// What decides by key, bindings, is told of at once. Everything else is read again, as a
// whole, by one goroutine for each kind of record: a kind that waits for a change which
// this process is making itself holds up neither the others nor who tells of changes,
// for which that very change may wait.
package follow

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// retryAfter is how long a Reload that failed rests.
const retryAfter = time.Second

// Reload reads records of one kind again, and has them in force. It may wait for changes
// of this process under way, and must not change anything in the store.
type Reload func(ctx context.Context) error

// Nothing is the Reload of a kind of which nothing is kept in memory, or nothing that
// others change.
func Nothing(context.Context) error { return nil }

// Parts are what follows. Each kind of document and each name of a setting that there is
// must be in it.
type Parts struct {
	// Bindings is told of changes of bindings, in their order. It must not wait.
	Bindings func(changes []store.Change)
	// Everything is told that any binding may be another one. It must not wait.
	Everything func()
	// Streams is run after Everything, and may wait.
	Streams Reload
	// Documents are by kind, up to the first dot of it.
	Documents map[string]Reload
	// Settings are by name.
	Settings map[string]Reload
}

// Follower hears of changes, and passes them on. It is safe for concurrent use.
type Follower struct {
	logger *slog.Logger

	mu       sync.RWMutex
	parts    *Parts // nil: not started
	workers  map[string]*worker
	ctx      context.Context
	cancel   context.CancelFunc
	finished sync.WaitGroup
}

// New returns a Follower that passes nothing on yet: it can hear of changes before there
// is anything in memory.
func New(logger *slog.Logger) *Follower {
	f := &Follower{logger: logger, workers: map[string]*worker{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Start passes on what is heard from now on. All is read again at first, for what changed
// while it was being read.
func (f *Follower) Start(parts Parts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts = &parts
	for kind, reload := range parts.Documents {
		f.add(documentName(kind), reload)
	}
	for name, reload := range parts.Settings {
		f.add(settingName(name), reload)
	}
	f.add(streams, parts.Streams)
	f.replacedLocked()
}

// The names of workers.
const streams = "open streams"

func documentName(kind string) string {
	base, _, _ := strings.Cut(kind, ".")
	return "documents of kind " + base
}

func settingName(name string) string { return "setting " + name }

func (f *Follower) add(name string, reload Reload) {
	w := &worker{name: name, reload: reload, logger: f.logger, wake: make(chan struct{}, 1)}
	f.workers[name] = w
	f.finished.Go(func() { w.run(f.ctx) })
}

// Changed tells of changes that others have made, which are in the store. It does not
// wait for what follows of them.
func (f *Follower) Changed(changes []store.Change) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.parts == nil {
		return
	}
	var bindings []store.Change
	for _, c := range changes {
		switch c.Kind {
		case store.ChangeBindingPut, store.ChangeBindingRemoved:
			bindings = append(bindings, c)
		case store.ChangeDocumentPut, store.ChangeDocumentRemoved:
			f.wake(documentName(c.Document.Kind))
		case store.ChangeSettingPut, store.ChangeSettingRemoved:
			f.wake(settingName(c.Setting.Name))
		case store.ChangeArchivedPut, store.ChangeArchivedRemoved: // it is read from the store
		}
	}
	if len(bindings) > 0 {
		f.parts.Bindings(bindings)
	}
}

func (f *Follower) wake(name string) {
	if w := f.workers[name]; w != nil {
		w.poke()
		return
	}
	// A newer version makes records that this one knows nothing of.
	f.logger.Debug("nothing here follows a change", "of", name)
}

// Replaced tells that anything may be different.
func (f *Follower) Replaced() {
	f.mu.RLock()
	defer f.mu.RUnlock()
	f.replacedLocked()
}

func (f *Follower) replacedLocked() {
	if f.parts == nil {
		return
	}
	f.parts.Everything()
	for _, w := range f.workers {
		w.poke()
	}
}

// Close ends what is being read again.
func (f *Follower) Close() {
	f.mu.Lock()
	f.parts = nil
	f.mu.Unlock()
	f.cancel()
	f.finished.Wait()
}

// worker reads one kind again.
type worker struct {
	name   string
	reload Reload
	logger *slog.Logger
	wake   chan struct{}
}

func (w *worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default: // it has not yet seen the last call
	}
}

func (w *worker) run(ctx context.Context) {
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		err := w.reload(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		w.logger.Error("what another node has changed is not in force yet, and is read again", "of", w.name, "error", err)
		select {
		case <-time.After(retryAfter):
			w.poke()
		case <-ctx.Done():
			return
		}
	}
}

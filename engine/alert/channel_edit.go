package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Channels returns all channels in the order of their IDs.
func (c *Center) Channels() []Channel {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Channel, 0, len(c.receivers))
	for _, id := range slices.Sorted(maps.Keys(c.receivers)) {
		list = append(list, c.channelLocked(c.receivers[id]))
	}
	return list
}

// Channel returns one. Returns store.ErrNotFound.
func (c *Center) Channel(id string) (Channel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.receivers[id]
	if !ok {
		return Channel{}, store.ErrNotFound
	}
	return c.channelLocked(r), nil
}

func (c *Center) channelLocked(r *receiver) Channel {
	ch := r.channel()
	if l := c.lanes[r.id]; l != nil {
		ch.Pending, ch.Delivered, ch.Failed, ch.Dropped = len(l.pending), l.delivered, l.failed, l.dropped
		ch.LastError, ch.LastSent = l.lastError, l.lastSent
	}
	return ch
}

// CreateChannel adds a channel. Returns a *FieldError, store.ErrConflict if
// there is one of that ID, ErrTooMany, or an error of the store.
func (c *Center) CreateChannel(ctx context.Context, id string, in ChannelInput) (Channel, error) {
	if err := checkChannelID(id); err != nil {
		return Channel{}, err
	}
	return c.editChannel(ctx, id, func(old *receiver) (*receiver, error) {
		if old != nil {
			return nil, store.ErrConflict
		}
		if c.channelCount() >= MaxChannels {
			return nil, ErrTooMany
		}
		r := &receiver{id: id}
		r.CreatedAt = c.stamp()
		return r, c.fill(r, in, secrets{})
	})
}

// UpdateChannel makes a channel what in says, if its revision is still the one
// given; 0: whatever it is now. The type stays. Returns a *FieldError, ErrReadOnly,
// store.ErrNotFound, store.ErrConflict, or an error of the store.
func (c *Center) UpdateChannel(ctx context.Context, id string, in ChannelInput, revision uint64) (Channel, error) {
	return c.editChannel(ctx, id, func(old *receiver) (*receiver, error) {
		if err := checkEdit(old, revision); err != nil {
			return nil, err
		}
		if in.Type != old.Type {
			return nil, &FieldError{"type", "a channel keeps its type: make another one"}
		}
		r := &receiver{id: id, revision: old.revision, channelRecord: old.channelRecord}
		open := secrets{URL: old.target.URL, Secret: old.target.Secret, Password: old.target.Password}
		return r, c.fill(r, in, open)
	})
}

// DeleteChannel removes a channel with its deliveries, if its revision is still
// the one given; 0: whatever it is now. Returns ErrReadOnly, store.ErrNotFound,
// store.ErrConflict, or an error of the store.
func (c *Center) DeleteChannel(ctx context.Context, id string, revision uint64) error {
	_, err := c.editChannel(ctx, id, func(old *receiver) (*receiver, error) {
		return nil, checkEdit(old, revision)
	})
	return err
}

func checkEdit(old *receiver, revision uint64) error {
	switch {
	case old == nil:
		return store.ErrNotFound
	case old.id == EnvChannel:
		return ErrReadOnly
	case revision != 0 && revision != old.revision:
		return store.ErrConflict
	}
	return nil
}

func (c *Center) channelCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.receivers)
	if c.receivers[EnvChannel] != nil {
		n--
	}
	return n
}

// fill applies an input, and seals the secrets.
func (c *Center) fill(r *receiver, in ChannelInput, open secrets) error {
	if err := in.apply(&r.channelRecord, &open); err != nil {
		return err
	}
	r.UpdatedAt = c.stamp()
	var err error
	if r.Sealed, err = c.sealer.seal(r.id, &r.channelRecord, open); err != nil {
		return err
	}
	r.setTarget(open)
	return nil
}

// editChannel lets edit say what is to become of a channel: nil removes it.
func (c *Center) editChannel(ctx context.Context, id string, edit func(old *receiver) (*receiver, error)) (Channel, error) {
	select {
	case c.editing <- struct{}{}:
		defer func() { <-c.editing }()
	case <-ctx.Done():
		return Channel{}, ctx.Err()
	}
	if err := c.reloadChannels(ctx); err != nil {
		return Channel{}, err
	}
	c.mu.Lock()
	old, closed := c.receivers[id], c.closed
	c.mu.Unlock()
	if closed {
		return Channel{}, ErrClosed
	}
	r, err := edit(old)
	if err != nil {
		return Channel{}, err
	}
	if r == nil {
		if err := c.documents.DeleteDocument(ctx, ChannelKind, id, old.revision); err != nil {
			return Channel{}, fmt.Errorf("delete channel %q: %w", id, err)
		}
		c.dropReceiver(id)
		return Channel{}, nil
	}
	body, err := json.Marshal(r.channelRecord)
	if err != nil {
		return Channel{}, fmt.Errorf("write channel %q: %w", id, err)
	}
	stored, err := c.documents.PutDocument(ctx, store.Document{Kind: ChannelKind, ID: id, Revision: r.revision, Body: body})
	if err != nil {
		return Channel{}, fmt.Errorf("write channel %q: %w", id, err)
	}
	r.revision = stored.Revision
	c.setReceiver(r)
	return c.Channel(id)
}

// ReloadChannels has in force what the store has, which others may have changed. It waits
// for changes under way.
func (c *Center) ReloadChannels(ctx context.Context) error {
	select {
	case c.editing <- struct{}{}:
		defer func() { <-c.editing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.reloadChannels(ctx)
}

// reloadChannels reads what another process may have changed. Only who edits
// channels may call it.
func (c *Center) reloadChannels(ctx context.Context) error {
	list, err := c.documents.ListDocuments(ctx, ChannelKind)
	if err != nil {
		return fmt.Errorf("read channels: %w", err)
	}
	there := map[string]bool{EnvChannel: true}
	for _, d := range list {
		there[d.ID] = true
		c.mu.Lock()
		known := c.receivers[d.ID]
		c.mu.Unlock()
		if known != nil && known.revision == d.Revision {
			continue
		}
		r, err := c.readReceiver(d)
		if err != nil {
			c.logger.Warn("unreadable channel left alone", "id", d.ID, "error", err)
			continue
		}
		c.setReceiver(r)
	}
	c.mu.Lock()
	ids := slices.Collect(maps.Keys(c.receivers))
	c.mu.Unlock()
	for _, id := range ids {
		if !there[id] {
			c.dropReceiver(id)
		}
	}
	return nil
}

// setReceiver makes a channel what it is to be, and its lane run.
func (c *Center) setReceiver(r *receiver) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.receivers[r.id] = r
	c.laneLocked(r.id).poke()
}

// dropReceiver forgets a channel. What waits for it goes with it.
func (c *Center) dropReceiver(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.receivers[id] == nil {
		return
	}
	delete(c.receivers, id)
	if l := c.lanes[id]; l != nil {
		delete(c.lanes, id)
		l.end()
		c.orphans = append(c.orphans, l.finished...)
		c.orphans = append(c.orphans, l.pending...)
		l.pending, l.finished = nil, nil
	}
}

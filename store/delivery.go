package store

import "context"

// Batch is what a node of a cluster has gathered and no feed tells. It is delivered to
// the authority as it was gathered.
type Batch struct {
	// Intercepts have the IDs that the node knows them by, which are not those of the
	// authority. Those at the indexes of Grown were gathered before, and replace what
	// was delivered of them.
	Intercepts []Intercept
	Grown      []int
	Usage      UsageBatch // up to UsageChunk touches
	Audit      []AuditEntry
}

// Len returns how many records there are in the batch.
func (b Batch) Len() int {
	return len(b.Intercepts) + len(b.Usage.Touches) + len(b.Usage.Counters) + len(b.Audit)
}

// Delivery is how an authority takes what nodes have gathered, each batch exactly once.
type Delivery interface {
	// Deliver stores a batch of a node in one transaction, together with its sequence,
	// which is higher than that of any before. A batch of a sequence that is not higher
	// than the last one was delivered already: nothing happens, and it is no error.
	//
	// Intercepts and audit entries get IDs of the authority. A grown intercept that is
	// gone is dropped, and so are touches of keys without a binding. Returns ErrInvalid
	// if a counter has a name that Settings would not take.
	Deliver(ctx context.Context, node string, sequence uint64, batch Batch) error
}

// Outbox keeps what a node has gathered until it is delivered.
type Outbox interface {
	// Gather stores a batch in the node's own logs, as PutIntercepts, AddUsage and
	// AppendAudit do, and appends it to the outbox, in one step. It sets the IDs of new
	// intercepts (ID 0) and of audit entries, and Grown. A batch that would not fit in
	// the limit is stored in the logs alone, and its records are counted as dropped.
	// Returns ErrInvalid if a counter has a name that Settings would not take, or there
	// are more than UsageChunk touches.
	Gather(ctx context.Context, batch *Batch, limit OutboxLimit) error

	// FirstBatch returns the oldest batch of the outbox with its sequence. A sequence is
	// given once, also when the batch is gone. Returns ErrNotFound if there is none.
	FirstBatch(ctx context.Context) (sequence uint64, batch Batch, err error)

	// RemoveBatches removes all batches up to a sequence.
	RemoveBatches(ctx context.Context, sequence uint64) error

	// OutboxSize returns how much there is in the outbox, and how many records did not
	// fit since the store was made.
	OutboxSize(ctx context.Context) (OutboxSize, error)
}

// OutboxLimit is how large an outbox may become.
type OutboxLimit struct {
	Batches uint64
	Bytes   uint64 // of the batches, as they are stored
}

// OutboxSize is how large an outbox is.
type OutboxSize struct {
	Batches uint64 `json:"batches"`
	Bytes   uint64 `json:"bytes"`
	Dropped uint64 `json:"dropped"` // records
}

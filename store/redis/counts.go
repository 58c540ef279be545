package redis

import (
	"context"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// scriptCount counts within a sliding window, by the clock of Redis, in 60 parts of it. A
// part that is only partly within the window does not count: there are never said to be
// more than there were. Replication of effects, as a script needs that asks for the time,
// is what Redis does from 5 on.
//
// KEYS[1] the count; ARGV[1] the window in ms, ARGV[2] how many more.
const scriptCount = `
local window, more = tonumber(ARGV[1]), tonumber(ARGV[2])
local width = math.max(1, math.floor(window / 60))
local time = redis.call('TIME')
local now = math.floor((tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)) / width)
local total, old = more, {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
    if tonumber(all[i]) <= now - 60 or tonumber(all[i]) > now then
        old[#old + 1] = all[i]
    else
        total = total + tonumber(all[i + 1])
    end
end
if #old > 0 then redis.call('HDEL', KEYS[1], unpack(old)) end
if more > 0 then
    redis.call('HINCRBY', KEYS[1], now, more)
    redis.call('PEXPIRE', KEYS[1], window + width)
end
return total`

// Counts counts something for all nodes together.
type Counts struct {
	client *Client
	kind   string
}

// Counts returns the counts of a kind, such as "alert". Kinds have nothing to do with each
// other.
func (c *Client) Counts(kind string) *Counts { return &Counts{c, kind} }

// Add adds to counts by their names, and returns how many there are of each within the
// window that ends now, give or take a sixtieth of it: never more than there were. Of 0,
// it returns the count as it is. Returns store.ErrUnavailable: then some may have been
// added.
func (c *Counts) Add(ctx context.Context, window time.Duration, add map[string]uint64) (map[string]uint64, error) {
	answers := make(map[string]*goredis.Cmd, len(add))
	err := c.client.call(ctx, func(ctx context.Context, db goredis.UniversalClient) error {
		p := db.Pipeline()
		for name, n := range add {
			answers[name] = p.Eval(ctx, scriptCount, []string{c.key(window, name)}, window.Milliseconds(), n)
		}
		_, err := p.Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	totals := make(map[string]uint64, len(add))
	for name, answer := range answers {
		n, err := answer.Uint64()
		if err != nil {
			return nil, fmt.Errorf("count: %w", err)
		}
		totals[name] = n
	}
	return totals, nil
}

// key returns the name of a record: parts of another window are others.
func (c *Counts) key(window time.Duration, name string) string {
	return c.client.name(c.kind, fmt.Sprint(window.Milliseconds(), " ", name))
}

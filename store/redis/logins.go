package redis

import (
	"context"
	"crypto/rand"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/key-ip-sentinel/sentinel/store"
)

// The attempts of a pair are a sorted set: "f" and a number for each failure, "t" for each
// attempt under way, by when it was; and "lock" while the pair is locked, by until when. An
// attempt of a node that was killed counts as a failure until it is over.
//
// KEYS[1] the set; ARGV[1] the window in ms, ARGV[2] how many failures lock a pair.
const scriptNow = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local lock = tonumber(redis.call('ZSCORE', KEYS[1], 'lock') or 0)
`

// scriptBegin admits an attempt, ARGV[3], and returns 0; or how many ms to wait.
const scriptBegin = scriptNow + `
if lock > now then return lock - now end
redis.call('ZREM', KEYS[1], 'lock')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
if redis.call('ZCARD', KEYS[1]) >= limit then return 1000 end
redis.call('ZADD', KEYS[1], now, 't' .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], window)
return 0`

// scriptFail makes an attempt a failure, and returns 1 if that locked the pair for ARGV[4]
// ms.
const scriptFail = scriptNow + `
redis.call('ZREM', KEYS[1], 't' .. ARGV[3])
if lock > now then return 0 end
redis.call('ZADD', KEYS[1], now, 'f' .. ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local failures = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if string.sub(member, 1, 1) == 'f' then failures = failures + 1 end
end
if failures < limit then
    redis.call('PEXPIRE', KEYS[1], window)
    return 0
end
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[4]), 'lock')
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[4]))
return 1`

// scriptSucceed forgets all attempts, but not that the pair is locked.
const scriptSucceed = `
if not redis.call('ZSCORE', KEYS[1], 'lock') then redis.call('DEL', KEYS[1]) end
return 0`

// Logins remembers attempts to sign in for all nodes together.
type Logins struct {
	client *Client
	limits store.LoginLimits
}

// Logins returns what remembers attempts.
func (c *Client) Logins(limits store.LoginLimits) *Logins { return &Logins{c, limits} }

// Begin admits an attempt of a pair, and returns its name; or for how long there is none.
// Failures and attempts under way at all nodes count. Returns store.ErrUnavailable within
// Timeout.
func (l *Logins) Begin(ctx context.Context, pair string) (attempt string, wait time.Duration, err error) {
	attempt = rand.Text()
	ms, err := l.eval(ctx, scriptBegin, pair, attempt)
	if err != nil || ms > 0 {
		return "", time.Duration(ms) * time.Millisecond, err
	}
	return attempt, 0, nil
}

// Failed notes that an attempt has failed, and reports whether that locked the pair.
func (l *Logins) Failed(ctx context.Context, pair, attempt string) (locked bool, err error) {
	n, err := l.eval(ctx, scriptFail, pair, attempt, l.limits.LockFor.Milliseconds())
	return n == 1, err
}

// Undone forgets an attempt that has neither failed nor succeeded.
func (l *Logins) Undone(ctx context.Context, pair, attempt string) error {
	return l.client.call(ctx, func(ctx context.Context, db goredis.UniversalClient) error {
		return db.ZRem(ctx, l.client.name("login", pair), "t"+attempt).Err()
	})
}

// Succeeded forgets the attempts of a pair that is not locked.
func (l *Logins) Succeeded(ctx context.Context, pair string) error {
	_, err := l.eval(ctx, scriptSucceed, pair)
	return err
}

// Count counts more of what is counted by a name, such as the failures of an account from
// anywhere, and returns how many there are within the window.
func (l *Logins) Count(ctx context.Context, name string, more int) (int, error) {
	counts, err := l.counts().Add(ctx, l.limits.Window, map[string]uint64{name: uint64(max(more, 0))}) // #nosec G115 -- not negative
	return int(counts[name]), err                                                                      // #nosec G115 -- few
}

// Forget forgets what was counted by a name.
func (l *Logins) Forget(ctx context.Context, name string) error {
	return l.client.call(ctx, func(ctx context.Context, db goredis.UniversalClient) error {
		return db.Del(ctx, l.counts().key(l.limits.Window, name)).Err()
	})
}

func (l *Logins) counts() *Counts { return l.client.Counts("logins") }

func (l *Logins) eval(ctx context.Context, script, pair string, args ...any) (n int64, err error) {
	err = l.client.call(ctx, func(ctx context.Context, db goredis.UniversalClient) error {
		args := append([]any{l.limits.Window.Milliseconds(), l.limits.Failures}, args...)
		n, err = db.Eval(ctx, script, []string{l.client.name("login", pair)}, args...).Int64()
		return err
	})
	return n, err
}

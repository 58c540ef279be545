package main

import (
	"context"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
)

// checkAlerts asks the server that runs whether alerts reach somebody.
func (c *checker) checkAlerts(ctx context.Context) {
	const check = "alerts"
	if !c.runs {
		return
	}
	local := client.Local(c.cfg.DataDir)
	defer local.Close()
	channels, err := local.Channels(ctx)
	if err != nil {
		c.warn(check, "channels cannot be read: %v", err)
		return
	}
	well, waiting := 0, 0
	for _, item := range channels {
		ch := item.Value
		waiting += ch.Pending
		switch {
		case ch.Fault.Message != "":
			flag := "--new-url"
			if ch.Type == string(send.Email) {
				flag = "--new-password"
			}
			c.fail(check, "channel %s cannot send: %s, as with sentinel alerts channels edit %s %s", ch.ID, ch.Fault.Message, ch.ID, flag)
		case !ch.Enabled && ch.Pending > 0:
			c.warn(check, "channel %s is switched off, and %d deliveries wait for it", ch.ID, ch.Pending)
		case !ch.Enabled:
		case ch.LastError.Message != "":
			c.fail(check, "channel %s fails, and %d deliveries wait for it: %s", ch.ID, ch.Pending, ch.LastError.Message)
		default:
			well++
		}
	}
	switch {
	case len(channels) == 0:
		c.ok(check, "no channel: they are kept, and nobody is told; sentinel alerts channels add makes one")
	case well > 0:
		c.ok(check, "%d of %d channels can send; %d deliveries wait", well, len(channels), waiting)
	}
}

package send

import (
	"encoding/hex"
	"strconv"
	"time"
)

// Headers of a webhook. A receiver that has the secret computes HMAC-SHA256 of
// the timestamp, a full stop and the body as it came, and compares its lower-case
// hex digits with what follows "sha256=" in the signature; it refuses timestamps
// that are far from its own clock, and an ID that it has seen before.
const (
	HeaderDelivery  = "X-Sentinel-Delivery"  // the ID of the message: the same at every attempt
	HeaderTimestamp = "X-Sentinel-Timestamp" // of the attempt, in seconds since 1970
	HeaderSignature = "X-Sentinel-Signature" // only if there is a secret
)

func webhookRequest(t Target, m Message, now time.Time) request {
	stamp := strconv.FormatInt(now.Unix(), 10)
	header := map[string]string{HeaderDelivery: m.ID, HeaderTimestamp: stamp}
	if t.Secret != "" {
		header[HeaderSignature] = "sha256=" + hex.EncodeToString(hmacSHA256(t.Secret, stamp+"."+string(m.Body)))
	}
	return request{url: t.URL, header: header, body: m.Body}
}

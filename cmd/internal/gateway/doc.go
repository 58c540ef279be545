// Package gateway is a small stand-in for an LLM gateway of the New API family:
// the downstream of `sentinel demo` and of the end-to-end tests.
//
// It reads API keys as New API does (key.go), in a plain transcription that
// shares no code with Sentinel's own reading: where the two disagree, a test
// fails. It keeps that gateway's habits that matter to a proxy in front: routes
// are found on the decoded path, unknown paths outside /v1 and /api answer the
// public page with 200 to anybody, and so do pre-flight requests with 204.
//
// Beside the model APIs it has endpoints that show what arrived, byte for byte
// (echo.go), and that stretch a proxy: bulk bodies, trailers, early hints,
// answers that never come or break off (wire.go, bulk.go). GET /debug/state
// counts what happened.
package gateway

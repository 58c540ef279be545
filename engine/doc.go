// Package engine is the domain: who is calling, from where, may they, and what
// is recorded of it. It reads an http.Request and knows no routes, and keeps
// everything in a store.Store and knows no database.
//
// The life of one request:
//
//  1. Admit (admit.go) finds the client IP (package clientip), holds it against
//     the rate limit (package ratelimit), and reads every credential of the
//     request (package credential).
//  2. The exchange is registered under each of its keys (flight.go): from here
//     on a change of one of them finds it.
//  3. Each key is looked up (package bindcache, then the store) and judged
//     (decide.go): a ban counts most, then an exception (package exception), then
//     a blocked network, then the rule with the networks that it names (package
//     network). All bound keys must pass.
//  4. A key that is not bound yet is bound here, or when the downstream has
//     accepted it: Accept (bind.go), before the first byte of the answer. It gets
//     the rule of newrule.go, unless the address is not the client's own
//     (firstuse.go). So does a rule that learns get the address.
//  5. Refusals become intercepts (package record), uses become touches, and
//     both become counters (usage.go).
//  6. Done ends the exchange. A ban or a new rule in between (change.go) has
//     cut it if it no longer matches.
//
// Beside the requests:
//
//   - Administrators change bindings one by one (change.go), many at once
//     (bulk.go) or from a list (import.go), networks (network.go) and exceptions
//     (exception.go), and ask what would become of a request (explain.go).
//   - What ends by itself is ended within a second (ending.go).
//   - One goroutine writes what is gathered in memory (writer.go): usage and
//     counters, and who was refused most (ranking.go, package top).
//   - Housekeeping (housekeeping.go) archives what is not used any more and
//     removes what is old, as Retention says (retention.go).
//   - Dashboard (dashboard.go) adds up counters; it never reads the records.
//   - Whoever wants to know at once subscribes to Events (package event).
//
// What is done now and then, and by which nodes of a cluster. The leader is one of them
// (store.Leadership), and asks whether it still is before each step:
//
//	by the leader
//	  archive what is idle, purge the archive       hourly    housekeeping.go
//	  remove old intercepts (with their months of   hourly    housekeeping.go
//	    PostgreSQL), counters, audit, rankings,
//	    minutes, exceptions; trim the feed
//	  remove networks whose blocking is over        1 s       ending.go
//	  raise, remind of, close and purge alerts      1 s, 30 s alert/shared.go
//	  send alerts                                   when due  alert/lane.go
//	by every node, for itself
//	  write usage, counters, rankings, minutes and  5 s       writer.go
//	    suspicions; probe a store that failed
//	  write intercepts                              250 ms    record
//	  write when API tokens were last used          1 min     account/uses.go
//	  put what is over out of force, cut streams    1 s       ending.go
//	  tell the leader what may be worth an alert    1 s       alert/report.go
//	  tell that its own store fails                 1 s       alert/shared.go
//	  sweep its cache, its connections, its limits  minutes   bindcache, ratelimit
//	  follow the feed, deliver what it gathered     1 s       store/replica
//	  trim its own log of what it delivered         1 min     store/replica
//	by whoever needs it first
//	  make a month of intercepts, under a lock      when due  store/postgres/partitions.go
package engine

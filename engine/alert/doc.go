// Package alert raises alerts, keeps them, and delivers them.
//
// # The life of an alert
//
// What happens comes in through the inputs of a Center (input.go), which put it
// into a bounded queue. One goroutine takes it from there (watch.go, health.go)
// and decides: there is at most one open alert of each kind and subject. It
// opens, is told of again at most hourly as long as it goes on, and closes when
// nothing of it has happened for the window of its kind: Settings.Window, or
// Settings.UnknownKeyWindow for unknown keys. Each of these is a transition. A
// second goroutine, the keeper (keep.go), writes the alert with its transitions,
// then makes one delivery of each transition for each channel that wants it, and
// hands those to the lanes (lane.go): one goroutine a channel, which sends one
// message after the other.
//
// # What is promised
//
// State is durable before it is acted on. A transition is written, together with
// the channels that are to hear of it, before there is any delivery of it; the
// ID of a delivery follows from the alert, the number of the transition and the
// channel, so that making deliveries again after a kill -9 makes none twice; and
// a delivery is written before it is tried. So each transition becomes exactly
// one delivery for each channel, across restarts and kill -9.
//
// A delivery is tried until the receiver takes it, for a day (then it has
// failed). A receiver gets it exactly once, but for one case: the receiver took
// it, and Sentinel did not learn of that, or was killed before it had written it
// down. Then it is sent again with the same ID, which a webhook has in a header
// and in its body, and an email in its Message-ID; the bots of chats cannot tell
// and show it twice.
//
// While the store does not take writes, which is itself something to alert of,
// alerts are kept in memory, and sent all the same; they are written as soon as
// that is possible. A process that ends before that has forgotten them: what was
// not yet sent is lost, and what goes on is told again as a new alert.
//
// Counts towards a threshold are in memory only, and begin anew with a restart.
// Count and time of an open alert are written every half minute, so that after a
// kill -9 it may close that much early.
//
// # In a cluster
//
// The nodes of a cluster have a Shared each, and one of them, the leader, a Center:
// shared.go. So there is one alert of each subject in the cluster, thresholds are of all
// nodes together, and each message is sent once. A change of the leader is to alerts what
// a restart is, with the same promises.
package alert

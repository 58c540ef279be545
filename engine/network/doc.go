// Package network keeps the networks that administrators name, so that rules can
// name them too, and the networks that nobody may come from. All of them are in
// memory, in the form in which decisions ask; the store has them as documents.
//
// A change is durable before it is in force, and in force before it is
// acknowledged.
package network

// Package account says who administers Sentinel: accounts with their passwords
// and second factors, API tokens, and the lockout of who guesses at either. It
// knows no HTTP and no session format; httpapi makes sessions of what it says.
//
// An account is a document of the kind "account", a token one of the kind
// "token", in the store. The list of each kind is kept in memory, in step with
// the changes that this process makes, and read again once it is older than a
// second, or Changed was called: what another node of a cluster changes counts here
// within that second.
// If it cannot be read again, sessions and tokens are not judged by the old list
// but answered with the store's error, so that nobody outlives a revocation.
//
// A login takes these steps, in this order:
//
//  1. The pair of account and address may be locked: lockout.go, guard.go, and in a
//     cluster failures.go.
//  2. An account that many addresses fail on answers later: guard.go.
//  3. The password is checked, against a hash that nothing matches if there is
//     no such account: login.go, password.go.
//  4. The second factor is checked, a code of an authenticator or a recovery
//     code: secondfactor.go, recovery.go.
//  5. The login is written down, and with it that the code has been used.
package account

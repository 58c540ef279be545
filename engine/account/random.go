package account

import (
	"crypto/rand"
	"encoding/binary"
)

// newGeneration returns a number to count up from: random, so that an account
// made again under an old name does not come to the numbers of the old one, and
// low enough that it never leaves what a JSON number holds.
func newGeneration() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return binary.BigEndian.Uint64(b[:]) >> 12
}

// randomText returns n characters of alphabet, each of which is as likely as
// the others.
func randomText(n int, alphabet string) string {
	text := make([]byte, 0, n)
	// Bytes from limit on would make the first characters likelier.
	limit := 256 - 256%len(alphabet)
	var b [64]byte
	for len(text) < n {
		_, _ = rand.Read(b[:])
		for _, c := range b {
			if int(c) < limit && len(text) < n {
				text = append(text, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(text)
}

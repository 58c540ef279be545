package main

import "strings"

// nearest returns the candidate that name was probably meant to be, or "" if
// none is near. The prefix SENTINEL_ and the case of letters do not count.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", 0
	plain := plainName(name)
	for _, candidate := range candidates {
		other := plainName(candidate)
		distance := editDistance(plain, other)
		if distance > max(1, min(len(plain), len(other))/4) {
			continue
		}
		if best == "" || distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

func plainName(name string) string {
	name = strings.ReplaceAll(strings.ToUpper(strings.TrimLeft(name, "-")), "-", "_")
	return strings.TrimPrefix(name, namePrefix)
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b (optimal string alignment, in bytes).
func editDistance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := row[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			next[j] = min(row[j]+1, next[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}

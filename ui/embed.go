// Package ui is the web console: the Vue project, and what it was built to.
package ui

import "embed"

// Dist holds dist, which is committed: building the program needs no Node. Every
// file that is worth it is there three times: as it is, with .br and with .gz.
//
//go:embed all:dist
var Dist embed.FS

package account

// Cheap makes the password hashes of opts cost next to nothing; passes tells one
// cost from another.
func Cheap(opts Options, passes uint32) Options {
	opts.cost = cost{memoryKiB: 64, passes: passes, lanes: 1}
	return opts
}

package fleet

// Score is the rendezvous hash of a few names: FNV-1a 64 over the names joined by "\n", finished by the 64-bit
// mixer of MurmurHash3, since FNV alone hardly spreads names that differ in their last byte. The router computes
// the same function; docs/architecture.md, "The owner of a workload".
func Score(names ...string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	hash := uint64(offset)
	for i, name := range names {
		if i > 0 {
			hash = (hash ^ '\n') * prime
		}
		for j := range len(name) {
			hash = (hash ^ uint64(name[j])) * prime
		}
	}
	hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd
	hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53
	return hash ^ (hash >> 33)
}

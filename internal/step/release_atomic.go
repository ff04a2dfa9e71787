//go:build !(gc && amd64 && !race && !msan && !asan && !purego) && !logbuf_explore

package step

// StoreRelease stores v in x: whoever loads v there sees all that this goroutine
// did before. See release_leaf.go for what else it does not promise.
func StoreRelease(x *Uint64, v uint64) { x.Store(v) }

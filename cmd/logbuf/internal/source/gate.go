package source

import "sync"

// Gate decides what it means that the first connection of a source fails: if no
// source at all gets through, the run has failed; if one does, the others keep
// trying. The sources of one run share it.
type Gate struct {
	mu      sync.Mutex
	waiting int // sources whose first attempt is not over
	open    bool
	decided chan struct{}
}

// NewGate makes the gate of n sources.
func NewGate(n int) *Gate {
	return &Gate{waiting: n, decided: make(chan struct{})}
}

// first notes how a source's first attempt ended.
func (g *Gate) first(ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.decided:
		return
	default:
	}
	g.waiting--
	g.open = ok
	if ok || g.waiting == 0 {
		close(g.decided)
	}
}

// passed is meaningful once decided is closed.
func (g *Gate) passed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

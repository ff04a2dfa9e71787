package channel

import (
	"sync/atomic"
	"time"
)

// watched is a ring that counts a receiver's looks at it, and lets a test do
// something at any of them.
type watched struct {
	source
	looks atomic.Int64
	at    func(look int) // called before and after each look
}

// watch puts a watched in the place of rx's ring.
func watch(rx *Receiver) *watched {
	w := &watched{source: rx.core.ring}
	rx.core.ring = w
	return w
}

func (w *watched) look() {
	n := w.looks.Add(1) - 1
	if w.at != nil {
		w.at(int(n))
	}
}

func (w *watched) Ready() bool {
	w.look()
	defer w.look()
	return w.source.Ready()
}

func (w *watched) Drained() bool {
	w.look()
	defer w.look()
	return w.source.Drained()
}

func (w *watched) Next() ([]byte, bool) {
	w.look()
	defer w.look()
	return w.source.Next()
}

// forever is longer than any wait of a receiver.
const forever = 24 * time.Hour

package channel

import "github.com/nexus-logbuf/logbuf/queue"

// NewPriority makes a channel of 1 to 16 levels and returns a sender for each,
// the most urgent first, and the one receiver. It receives urgent records
// first, and bounds how long the others wait; see queue.Priority. The capacity,
// in bytes, is that of each level. The receiver comes to its end when the
// senders of all levels, and their clones, are closed.
func NewPriority(levels, capacity int, opts *Options) ([]*SharedSender, *Receiver, error) {
	producers, ring, err := queue.NewPriority(levels, capacity)
	if err != nil {
		return nil, nil, err
	}
	c, err := newCore(ring, opts)
	if err != nil {
		return nil, nil, err
	}
	c.senders.Store(int64(levels))
	c.levels = levels > 1
	senders := make([]*SharedSender, levels)
	for l, p := range producers {
		senders[l] = newShared(p, c)
	}
	return senders, newReceiver(c), nil
}

// Level is the level of the record received last; 0 is the most urgent, and
// the only one of channels without levels.
func (r *Receiver) Level() int {
	if p, ok := r.core.ring.(*queue.Priority); ok {
		return p.Level()
	}
	return 0
}

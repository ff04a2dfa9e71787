package main

import (
	"slices"

	"github.com/nexus-logbuf/logbuf/channel"
	"github.com/nexus-logbuf/logbuf/queue"
)

// The producers' loops of our own rings, written out as a program writes them: with
// a function value or an interface for each record, that would be half of what a
// short one takes. The peers outside of Go are measured with loops like these.
//
// None of the functions that make loops and calls to be measured may be inlined,
// here and elsewhere: the compiler would copy the literal that is returned, and
// inline nothing in the copy. See TestLiteralsAreNotCopied.

//go:noinline
func writes(p *queue.Producer) sequence {
	return func(sizes []int, n int, t *told) {
		buf, turn := make([]byte, slices.Max(sizes)), 0
		for i := range n {
			rec := buf[:sizes[turn]]
			fill(rec, uint64(i))
			for {
				if _, err := p.Write(rec); err == nil {
					break
				}
				t.full(i)
			}
			turn = t.next(i, turn, len(sizes))
		}
	}
}

//go:noinline
func claims(p *queue.Producer) sequence {
	return func(sizes []int, n int, t *told) {
		turn := 0
		for i := range n {
			for {
				if c, err := p.TryClaim(sizes[turn]); err == nil {
					fill(c.Bytes(), uint64(i))
					c.Commit()
					break
				}
				t.full(i)
			}
			turn = t.next(i, turn, len(sizes))
		}
	}
}

//go:noinline
func sharedWrites(p *queue.SharedProducer) sequence {
	return func(sizes []int, n int, t *told) {
		buf, turn := make([]byte, slices.Max(sizes)), 0
		for i := range n {
			rec := buf[:sizes[turn]]
			fill(rec, uint64(i))
			for {
				if _, err := p.Write(rec); err == nil {
					break
				}
				t.full(i)
			}
			turn = t.next(i, turn, len(sizes))
		}
	}
}

//go:noinline
func sharedClaims(p *queue.SharedProducer) sequence {
	return func(sizes []int, n int, t *told) {
		turn := 0
		for i := range n {
			for {
				if c, err := p.TryClaim(sizes[turn]); err == nil {
					fill(c.Bytes(), uint64(i))
					c.Commit()
					break
				}
				t.full(i)
			}
			turn = t.next(i, turn, len(sizes))
		}
	}
}

//go:noinline
func sends(tx *channel.Sender) sequence {
	return func(sizes []int, n int, t *told) {
		buf, turn := make([]byte, slices.Max(sizes)), 0
		for i := range n {
			rec := buf[:sizes[turn]]
			fill(rec, uint64(i))
			for tx.TrySend(rec) != nil {
				t.full(i)
			}
			turn = t.next(i, turn, len(sizes))
		}
	}
}

//go:noinline
func sharedSends(tx *channel.SharedSender) sequence {
	return func(sizes []int, n int, t *told) {
		buf, turn := make([]byte, slices.Max(sizes)), 0
		for i := range n {
			rec := buf[:sizes[turn]]
			fill(rec, uint64(i))
			for tx.TrySend(rec) != nil {
				t.full(i)
			}
			turn = t.next(i, turn, len(sizes))
		}
	}
}

//go:build logbuf_explore

package queue

import (
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/explore"
	"github.com/nexus-logbuf/logbuf/internal/step"
)

// A producer that holds a permit has room by construction: there is one for
// each record that was given back. A refusal is spurious, as when a stale head
// is compared with a fresh tail.
func TestExploreMPSCNoSpuriousFull(t *testing.T) {
	both(t, 2, func() explore.Program {
		p, c, _ := newMPSC(64, 1<<64-64)
		o := &outcome{}
		for i := range byte(3) { // 48 of 56 bytes
			rec := record(0, i, 8)
			o.sent(rec)
			p.Write(rec)
		}
		var permits step.Uint64
		producer := func(id byte) func() {
			rec := record(id, 0, 8)
			o.sent(rec)
			return func() {
				for {
					if v := permits.Load(); v == 0 {
						step.Yield()
					} else if permits.CompareAndSwap(v, v-1) {
						break
					}
				}
				if _, err := p.Write(rec); err != nil {
					o.fail("producer %d: %v, with room for it", id, err)
				}
			}
		}
		return explore.Program{
			Threads: []func(){
				producer(1),
				producer(2),
				func() {
					for len(o.got) < 5 {
						rec, ok := c.Next()
						if !ok {
							step.Yield()
							continue
						}
						o.got = append(o.got, append([]byte(nil), rec...))
						c.Release()
						for {
							v := permits.Load()
							if permits.CompareAndSwap(v, v+1) {
								break
							}
						}
					}
				},
			},
			Check: func() error { return o.check(c) },
		}
	})
}

// A producer whose tail is stale by far, behind a head that another producer
// has already seen, must not take the difference for a full ring. What it asks
// for fits at all times.
func TestExploreMPSCNoSpuriousFullOnAStaleTail(t *testing.T) {
	both(t, 2, func() explore.Program {
		p, c, _ := newMPSC(64, 0)
		o := &outcome{}
		done := last(2, p)
		return explore.Program{
			Threads: []func(){
				func() { // 16 bytes of 56, beside 32 of the other producer at most
					rec := record(1, 0, 8)
					o.sent(rec)
					r, pos, err := p.place(p.home.current.Load(), 8) // what a write comes to whose tail is stale in quick
					if err != nil {
						o.fail("%v, with room for it", err)
						return
					}
					step.Copy(r.mem.bytes(pos+headerLen, 8), rec)
					r.mem.publish(pos, makeHeader(1, headerLen+8))
					done()
				},
				func() { // 32 bytes, and again when they are read
					for i := range byte(2) {
						rec := record(2, i, 24)
						o.sent(rec)
						if err := write(p, rec); err != nil {
							o.fail("write: %v", err)
						}
					}
					done()
				},
				o.reading(c, "next"),
			},
			Check: func() error { return o.check(c) },
		}
	})
}

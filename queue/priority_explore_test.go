//go:build logbuf_explore

package queue

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/explore"
	"github.com/nexus-logbuf/logbuf/internal/step"
)

// Two levels, a producer each, and in one variant a claim that is never
// settled. A record of level 1 may come before one of level 0 only if that was
// not committed when the call began.
func TestExplorePriority(t *testing.T) {
	for _, how := range []string{"next", "drain", "peek"} {
		for _, leak := range []bool{false, true} {
			if leak && how != "next" {
				continue
			}
			t.Run(fmt.Sprintf("%s/leak=%v", how, leak), func(t *testing.T) {
				both(t, 2, func() explore.Program { return explorePriority(how, leak) })
			})
		}
	}
}

func explorePriority(how string, leak bool) explore.Program {
	ps, p, _ := newPriority(2, 64, 40)
	o := &outcome{}
	committed, delivered := 0, 0 // of level 0
	leaked := uint64(0)
	producer := func(l byte, sizes ...int) func() {
		return func() {
			for i, n := range sizes {
				rec := record(l, byte(i), n)
				o.sent(rec)
				if err := write(ps[l], rec); err != nil {
					o.fail("write: %v", err)
				}
				if l == 0 {
					committed++
				}
			}
			if leak && l == 0 {
				if _, err := ps[l].TryClaim(8); err == nil {
					leaked++
				}
			}
			ps[l].Close()
		}
	}
	before := 0
	got := func(rec []byte) {
		o.got = append(o.got, bytes.Clone(rec))
		switch {
		case int(rec[0]) != p.Level():
			o.fail("record %x of level %d", rec, p.Level())
		case p.Level() == 0:
			delivered++
		case delivered < before:
			o.fail("record %x goes first; %d of level 0 were there, %d delivered", rec, before, delivered)
		}
	}
	return explore.Program{
		Threads: []func(){
			producer(0, 9, 20),
			producer(1, 14),
			func() {
				for !p.Drained() {
					before = committed
					if readPriority(p, how, got) || p.Drained() {
						continue
					}
					step.Yield()
				}
				p.Release()
			},
		},
		Check: func() error {
			for _, c := range p.levels {
				if err := o.check(c); err != nil {
					return err
				}
			}
			if n := p.Stats().Abandoned; n != leaked {
				return fmt.Errorf("%d claims abandoned, %d leaked", n, leaked)
			}
			return nil
		},
	}
}

func readPriority(p *Priority, how string, got func([]byte)) bool {
	switch how {
	case "next":
		rec, ok := p.Next()
		if ok {
			got(rec)
		}
		return ok
	case "drain":
		return p.Drain(2, func(_ int32, rec []byte) { got(rec) }) > 0
	}
	s := p.Peek(1 << 20)
	if s.Records() == 0 {
		return false
	}
	walk := &outcome{}
	walk.walk(s)
	for _, rec := range walk.got {
		got(rec)
	}
	p.ReleaseTo(s.End())
	return true
}

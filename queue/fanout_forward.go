package queue

import "slices"

// Source is what Forward takes records from: a *Consumer, a *FanIn or a
// *Priority.
type Source interface {
	// front is the ring whose next record is the one that Next would deliver,
	// or nil. It is Ready. Nothing is delivered; asked again, it may be another.
	front() *Consumer
	// accept delivers the next record of the ring that front returned last, and
	// gives back everything before it.
	accept(*Consumer)
	Release()
}

// Forward sends the next records of from, at most limit, to the workers: by
// key, or with a nil key as SendNext does. It returns how many were taken, and
// nil when that is the limit or from has no more to deliver now.
//
// No record is lost on the way. Each is given back to its producers after a
// lane has taken it; one that no lane takes remains in from, as if Forward had
// not seen it. With ErrFull, call Forward again: what was taken is not sent
// twice, and nothing of from overtakes what waits, unless from itself puts it
// first. With ErrTooLarge the record can never fit a lane, and the caller takes
// it with from.Next; a Priority or a FanIn by time may have got a record that
// goes before it, so the caller looks at the length of what Next returns, and
// sends it if it fits. With ErrClosed the FanOut is closed. A panic in key leaves
// the record that key was given in from, too.
//
// rec is valid until key returns, and key must use neither from nor f. Forward
// gives back everything read from from before, as Next does. It is for a
// goroutine that may use both.
func (f *FanOut) Forward(from Source, limit int, key func(typ int32, rec []byte) uint64) (n int, err error) {
	defer from.Release()
	for n < limit {
		c := from.front()
		if c == nil {
			break
		}
		h := c.ring.mem.load(c.pos)
		rec := c.ring.mem.bytes(c.pos+headerLen, h.payload())
		if key != nil {
			err = f.Send(key(h.typ(), rec), h.typ(), rec)
		} else {
			err = f.SendNext(h.typ(), rec)
		}
		if err != nil {
			break
		}
		from.accept(c)
		n++
	}
	return n, err
}

func (c *Consumer) front() *Consumer {
	if c.Ready() {
		return c
	}
	return nil
}

func (c *Consumer) accept(*Consumer) { c.Next() }

func (p *Priority) front() *Consumer {
	if l := p.pick(); l >= 0 {
		return p.levels[l]
	}
	return nil
}

// accept does not ask again which level is to deliver: a more urgent one may
// have got a record since.
func (p *Priority) accept(c *Consumer) {
	p.releaseAll()
	p.next(slices.Index(p.levels, c))
}

func (f *FanIn) front() *Consumer {
	if f.byTime != nil {
		if l := f.byTime.pick(f); l != nil {
			return l.c
		}
		return nil
	}
	f.look()
	for asked := 0; asked <= len(f.order) && len(f.order) > 0; {
		l := f.order[f.turn]
		if f.rest(l) > 0 && l.c.Ready() {
			return l.c
		}
		if l == f.current {
			f.releaseRecord()
		}
		f.pass(l, &asked)
	}
	return nil
}

func (f *FanIn) accept(c *Consumer) {
	f.releaseAll()
	if f.byTime == nil { // front has left the turn with c's lane
		f.current = f.order[f.turn]
		f.last = f.current
		c.Next()
		return
	}
	if f.current != nil {
		f.current.c.giveBack()
	}
	i := slices.IndexFunc(f.order, func(l *lane) bool { return l.c == c })
	f.takeByTime(f.order[i])
}

package queue

// Next gives back everything read before and returns the next record. See
// Consumer.Next.
func (f *FanIn) Next() (rec []byte, ok bool) {
	f.releaseAll()
	if f.byTime != nil {
		return f.nextByTime()
	}
	f.look()
	for asked := 0; asked <= len(f.order) && len(f.order) > 0; {
		l := f.order[f.turn]
		if f.rest(l) > 0 {
			if rec, ok = l.c.Next(); ok {
				f.current, f.last = l, l
				return rec, true
			}
		}
		if l == f.current {
			f.releaseRecord()
		}
		f.pass(l, &asked)
	}
	return nil, false
}

// Drain calls fn for each of the next records, at most limit, in the order in
// which Next would return them. fn must not use the FanIn, but for Lane and
// Late. See Consumer.Drain.
func (f *FanIn) Drain(limit int, fn func(typ int32, rec []byte)) int {
	f.Release()
	if f.byTime != nil {
		return f.drainByTime(limit, fn)
	}
	f.look()
	n := 0
	for asked := 0; n < limit && asked <= len(f.order) && len(f.order) > 0; {
		l := f.order[f.turn]
		if rest := f.rest(l); rest > 0 {
			f.last = l
			got := l.c.drain(limit-n, uint64(rest), fn)
			if n += got; n == limit {
				break // the turn goes on in the next call
			}
			if got > 0 {
				asked = 0
			}
		}
		f.pass(l, &asked)
	}
	return n
}

// Peek returns the next committed records of one lane, as they lie there. See
// Consumer.Peek.
func (f *FanIn) Peek(maxBytes int) Span {
	f.releaseRecord()
	if f.byTime != nil {
		return f.peekByTime(maxBytes)
	}
	f.look()
	for asked := 0; asked <= len(f.order) && len(f.order) > 0; {
		l := f.order[f.turn]
		if f.rest(l) > 0 {
			if s := l.c.Peek(maxBytes); s.records > 0 {
				f.last = l
				return f.add(l.c, s)
			}
		}
		f.pass(l, &asked)
	}
	return Span{}
}

// rest is how far the reading position of l, whose turn it is, may still move
// in this turn. A turn is as many bytes as the lane has.
func (f *FanIn) rest(l *lane) int { return f.laneCapacity - int(l.c.pos-f.began) }

// pass ends the turn of l. A lane that is closed and read to its end goes.
// asked counts the others: with one more than there are lanes, each was asked,
// and also the first again, whose turn may have been over without a look.
func (f *FanIn) pass(l *lane, asked *int) {
	if l.c.Drained() {
		f.retire(f.turn)
	} else {
		f.turn++
		*asked++
	}
	if f.turn >= len(f.order) {
		f.turn = 0
	}
	if len(f.order) > 0 {
		f.began = f.order[f.turn].c.pos
	}
}

// Release gives everything read so far back to the producers at once.
func (f *FanIn) Release() {
	f.releaseRecord()
	f.releaseAll()
	if f.byTime != nil {
		for _, l := range f.order {
			l.c.Release() // Next alternates between lanes and shows late what it gave back
		}
	}
}

// ReleaseTo gives back every span up to pos: the End of a span, or a position
// inside one that is a multiple of 8. See Consumer.ReleaseTo.
func (f *FanIn) ReleaseTo(pos uint64) { f.releaseTo(pos) }

// releaseRecord gives back the record that Next returned. No span is held
// then: Next has given them back.
func (f *FanIn) releaseRecord() {
	if f.current != nil {
		f.current.c.Release()
		f.current = nil
	}
}

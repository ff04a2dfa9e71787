package fixbuf

// Framer cuts a byte stream into messages. It is for one goroutine at a time.
// It keeps the beginning of a message whose end has not come, at most as many
// bytes as its limit, and allocates nothing once that buffer has grown.
type Framer struct {
	limit int
	held  []byte // what could not be told yet, and what is behind it
	from  int    // where in held that begins; what is before was given out
	given int    // length of the part that was given out last, from there
}

// minHeld is what a framer's buffer has at first, bytes.
const minHeld = 1 << 10

// NewFramer makes a framer for messages of at most limit bytes, or
// DefaultMaxMessage if limit is 0. It panics if no message could be that short.
func NewFramer(limit int) *Framer {
	return &Framer{limit: checkLimit(limit)}
}

// Next takes the next part off p, behind what earlier calls have taken, and
// returns it and what is left of p. The part is More when p is used up. b is
// valid until the next call, and as long as p does not change.
//
//	for {
//		part, b, rest := f.Next(p)
//		if part == fixbuf.More {
//			break
//		}
//		p = rest
//		…
//	}
func (f *Framer) Next(p []byte) (part Part, b, rest []byte) {
	f.forget()
	for {
		live := f.held[f.from:]
		if len(live) == 0 {
			part, n := next(p, f.limit, false)
			if part == More {
				f.hold(p)
				return More, nil, nil
			}
			return part, p[:n], p[n:]
		}
		part, n := next(live, f.limit, false)
		if part != More {
			f.given = n
			return part, live[:n], p
		}
		if len(p) == 0 {
			return More, nil, nil
		}
		n = min(n-len(live), len(p))
		f.hold(p[:n])
		p = p[n:]
	}
}

// Flush returns the next part of what is held, given that nothing follows.
// Call it until it returns More.
func (f *Framer) Flush() (part Part, b []byte) {
	f.forget()
	live := f.held[f.from:]
	part, f.given = next(live, f.limit, true)
	if part == More { // nothing is left
		f.given = 0
		return More, nil
	}
	return part, live[:f.given]
}

// Held is how many bytes of a message whose end has not come the framer has.
func (f *Framer) Held() int { return len(f.held) - f.from - f.given }

// forget lets go of what was given out.
func (f *Framer) forget() {
	f.from += f.given
	f.given = 0
	if f.from == len(f.held) {
		f.held, f.from = f.held[:0], 0
	}
}

// hold appends b. What is held is never longer than the limit, except for a
// header that is cut. The buffer may be half as long again: then what is moved to
// its front makes room for many bytes, however little of it each part takes.
func (f *Framer) hold(b []byte) {
	if len(f.held)+len(b) > cap(f.held) {
		live := f.held[f.from:]
		into := f.held[:0]
		if n := len(live) + len(b); n > cap(f.held)/4*3 {
			into = make([]byte, 0, max(minHeld, n, min(2*n, f.limit+f.limit/2)))
		}
		f.held, f.from = append(into, live...), 0
	}
	f.held = append(f.held, b...)
}

package fixserve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/fixindex"
)

// Source is one sender's messages in an archive, of the last part in which the
// numbers go up.
type Source struct {
	Dir     string
	Index   *fixindex.Index
	Session string
	Side    int
	Day     fixindex.Day
}

// NewSource finds the messages of a sender. Their numbers may have begun anew
// several times; it is the last part that counts.
func NewSource(dir string, x *fixindex.Index, session string, side int) *Source {
	s := &Source{Dir: dir, Index: x, Session: session, Side: side}
	if days := x.Days(session, side); len(days) > 0 {
		s.Day = days[len(days)-1]
	}
	return s
}

// Next is the number that the sender's next message would have.
func (s *Source) Next() uint64 {
	if q := s.Index.Session(s.Session); q != nil && q.Seq[s.Side].Next > 0 {
		return q.Seq[s.Side].Next
	}
	return 1
}

// Resent says what was sent again.
type Resent struct {
	Messages uint64 // sent again
	Filled   uint64 // numbers that a gap fill stands for: session messages, and those below
	Missing  uint64 // of them, those that the sender had sent and the archive does not have
	Spoilt   uint64 // of them, those that the archive has and no engine would take
}

// Trouble says what is wrong with messages that the archive has; empty for
// nothing.
func (r *Resent) Trouble() string {
	if r.Spoilt == 0 {
		return ""
	}
	return fmt.Sprintf("; %d cannot be sent again, because they have no SendingTime (52) or something that is no field", r.Spoilt)
}

// Resend sends the numbers from to to again: application messages as
// repetitions, and gap fills in place of session messages and of what the archive does not
// have.
func (s *Source) Resend(ctx context.Context, id Peers, from, to uint64, now func() time.Time, send func([]byte) error) (r Resent, err error) {
	entries, err := s.Index.Entries(ctx, s.Dir, s.Session, s.Side, s.Day, from, to)
	if err != nil {
		return r, err
	}
	var b Builder
	fetch := fixindex.NewFetcher(s.Dir)
	defer fetch.Close()
	next := from // the first number that nothing was sent for
	fill := func(until uint64) error {
		if until <= next {
			return nil
		}
		r.Filled += until - next
		m := b.GapFill(id, next, until, now())
		next = until
		return send(m)
	}
	for _, e := range entries {
		m, err := fetch.Fetch(ctx, e.Seq)
		switch {
		case err == io.EOF: // trimmed or damaged since: filled
			r.Missing++
			continue
		case err != nil:
			return r, err
		case m.Header.Admin():
			continue
		}
		again, err := b.Resend(m.Payload, now())
		if err != nil {
			r.Spoilt++
			continue
		}
		again = bytes.Clone(again) // the fill uses the builder, too
		if err := fill(e.SeqNum); err != nil {
			return r, err
		}
		if err := send(again); err != nil {
			return r, err
		}
		r.Messages++
		next = e.SeqNum + 1
	}
	if last := min(to, s.Next()-1); last >= from {
		r.Missing += last - from + 1 - uint64(len(entries))
	}
	return r, fill(to + 1)
}

// isReject tells whether a message refuses another one.
func isReject(h *fixbuf.Header) bool { return h.Is(fixbuf.TypeReject) || h.Is("j") }

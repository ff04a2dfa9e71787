// Package audit compares an archive with what a feed says it sent, frame by
// frame: opcode, final bit, direction and payload. Frames that the archive
// declares lost are accounted for by their ordinals; anything else that differs,
// is missing or is too much is a Mismatch.
package audit

import (
	"fmt"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/feed"
	"github.com/nexus-logbuf/logbuf/journal"
)

// Frame is a frame that a stream should hold.
type Frame struct {
	feed.Digest
	Outbound bool // sent by the consumer
}

func (f Frame) String() string {
	if f.Outbound {
		return "outbound " + f.Digest.String()
	}
	return f.Digest.String()
}

// Expected is the sequence of frames that a consumer has seen and sent on one
// connection, put together from both halves of the feed's ledger: each ping is
// answered at once, and the feed's close frame too. The consumer must record
// what it sends, and the feed must have closed first.
func Expected(l *feed.Ledger) ([]Frame, error) {
	out := make([]Frame, 0, len(l.Sent)+len(l.Received))
	answers := l.Received
	for i, d := range l.Sent {
		out = append(out, Frame{Digest: d})
		var want ws.OpCode
		switch d.Op() {
		case ws.OpPing:
			want = ws.OpPong
		case ws.OpClose:
			want = ws.OpClose
		default:
			continue
		}
		if len(answers) == 0 || answers[0].Op() != want {
			return nil, fmt.Errorf("%s: the feed got no answer to frame %d (%v)", l.Symbol, i, d)
		}
		if a := answers[0]; want == ws.OpPong && (a.Sum != d.Sum || a.Len != d.Len) {
			return nil, fmt.Errorf("%s: the feed got a pong (%v) that differs from its ping, frame %d (%v)", l.Symbol, a, i, d)
		}
		out = append(out, Frame{Digest: answers[0], Outbound: true})
		answers = answers[1:]
	}
	if len(answers) > 0 {
		return nil, fmt.Errorf("%s: the feed got %d frames that answer nothing", l.Symbol, len(answers))
	}
	return out, nil
}

// Mismatch is a difference between the archive and what was sent.
type Mismatch struct {
	Stream  string
	Ordinal uint64 // of the frame in its stream, from 0
	Seq     uint64 // of the record in the archive, as far as there is one
	What    string
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("stream %s, frame %d (near sequence %d): %s", m.Stream, m.Ordinal, m.Seq, m.What)
}

// Result is what was compared.
type Result struct {
	Frames uint64 // equal in the archive and in what was sent
	Bytes  uint64 // their payload
	Lost   uint64 // declared lost by the archive
}

// Auditor takes an archive's records in order. It is for one goroutine.
type Auditor struct {
	streams map[string]*stream
	seq     uint64
	result  Result
}

type stream struct {
	want []Frame
	next uint64 // ordinal
}

// New makes an auditor that expects these frames, by the name of their stream.
func New(want map[string][]Frame) *Auditor {
	a := &Auditor{streams: map[string]*stream{}}
	for name, frames := range want {
		a.streams[name] = &stream{want: frames}
	}
	return a
}

// Record compares the next record, which is of the named stream. The error is a
// *Mismatch, or that of a malformed loss record.
func (a *Auditor) Record(name string, rec journal.Record) error {
	a.seq = rec.Seq
	switch {
	case rec.Kind == journal.KindLoss:
		loss, err := journal.ParseLoss(rec.Payload)
		if err != nil {
			return err
		}
		return a.loss(name, loss)
	case rec.Kind >= journal.KindStream:
		return nil
	}
	s := a.streams[name]
	got := frameOf(rec)
	switch {
	case s == nil:
		return a.mismatch(name, 0, "a record of a stream that nobody sent: %v", got)
	case s.next >= uint64(len(s.want)):
		return a.mismatch(name, s.next, "%d frames were sent, the archive has one more: %v", len(s.want), got)
	case s.want[s.next] != got:
		return a.mismatch(name, s.next, "sent: %v; archived: %v", s.want[s.next], got)
	}
	s.next++
	a.result.Frames++
	a.result.Bytes += uint64(len(rec.Payload))
	return nil
}

func (a *Auditor) loss(name string, l journal.Loss) error {
	s := a.streams[name]
	switch {
	case s == nil:
		return a.mismatch(name, 0, "a loss in a stream that nobody sent")
	case l.Records == 0:
		return a.mismatch(name, s.next, "a gap of unknown size (%v), though the connection held", l.Reason)
	case l.First != s.next:
		return a.mismatch(name, s.next, "the archive declares %d frames from %d on as lost (%v), and has those up to %d", l.Records, l.First, l.Reason, s.next)
	case l.Records > uint64(len(s.want))-s.next:
		return a.mismatch(name, s.next, "the archive declares %d frames as lost (%v), %d were sent", l.Records, l.Reason, uint64(len(s.want))-s.next)
	}
	var bytes uint64
	for _, f := range s.want[s.next : s.next+l.Records] {
		bytes += uint64(f.Len)
	}
	if bytes != l.Bytes {
		return a.mismatch(name, s.next, "the archive declares %d frames as lost with %d bytes; they had %d", l.Records, l.Bytes, bytes)
	}
	s.next += l.Records
	a.result.Lost += l.Records
	return nil
}

// Finish says what was compared, and whether everything that was sent is
// accounted for.
func (a *Auditor) Finish() (Result, error) {
	for name, s := range a.streams {
		if missing := uint64(len(s.want)) - s.next; missing > 0 {
			return a.result, a.mismatch(name, s.next, "%d frames are missing at the end, and not declared lost; the first: %v", missing, s.want[s.next])
		}
	}
	return a.result, nil
}

func (a *Auditor) mismatch(name string, ordinal uint64, format string, args ...any) error {
	return &Mismatch{Stream: name, Ordinal: ordinal, Seq: a.seq, What: fmt.Sprintf(format, args...)}
}

func frameOf(rec journal.Record) Frame {
	op := ws.OpCode(rec.Flags & journal.FlagSourceMask)
	return Frame{
		Digest:   feed.DigestOf(op, rec.Flags&journal.FlagFinal != 0, rec.Payload),
		Outbound: rec.Flags&journal.FlagOutbound != 0,
	}
}

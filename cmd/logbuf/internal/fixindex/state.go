package fixindex

import (
	"maps"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/journal"
)

// Session is what is known of a session up to some place in the archive.
type Session struct {
	Identity fixbuf.Identity    `json:"identity"`
	Seq      [2]fixbuf.Sequence `json:"seq"` // of Identity.Low's messages and of Identity.High's
	In       [2]uint64          `json:"in"`  // messages of each side that were received, by the record's flag
	Out      [2]uint64          `json:"out"` // and sent

	BadSum    uint64 `json:"bad_sum"`    // messages with a wrong CheckSum
	Malformed uint64 `json:"malformed"`  // messages without what a session needs
	Skipped   uint64 `json:"skipped"`    // bytes that are no message
	Lost      uint64 `json:"lost"`       // records that the archive says are lost
	LostBytes uint64 `json:"lost_bytes"` // their bytes, as far as known
	LossGaps  uint64 `json:"loss_gaps"`  // losses of an unknown number of records

	First int64 `json:"first"` // time of the first message, Unix nanoseconds
	Last  int64 `json:"last"`  // of the last
}

// Messages is how many there are, with the right CheckSum and a number.
func (s *Session) Messages() uint64 { return s.Seq[0].Messages + s.Seq[1].Messages }

// less takes off what was counted up to an earlier place. What is no count stays.
func (s Session) less(e Session) Session {
	for i := range s.Seq {
		a, b := &s.Seq[i], &e.Seq[i]
		a.Messages -= b.Messages
		a.PossDups -= b.PossDups
		a.Resets -= b.Resets
		a.Gaps -= b.Gaps
		a.Missing -= b.Missing
		a.TooLow -= b.TooLow
		s.In[i] -= e.In[i]
		s.Out[i] -= e.Out[i]
	}
	s.BadSum -= e.BadSum
	s.Malformed -= e.Malformed
	s.Skipped -= e.Skipped
	s.Lost -= e.Lost
	s.LostBytes -= e.LostBytes
	s.LossGaps -= e.LossGaps
	return s
}

// state is all sessions at a place between two segments, by name. It is not
// changed once it is made.
type state map[string]Session

// Run is messages of one sender with consecutive numbers, in the order of the
// archive. Other records may lie between them.
type Run struct {
	Session string `json:"session"`
	Side    int    `json:"side"`
	Repeat  bool   `json:"repeat,omitempty"` // they are repetitions, or have numbers that are too low or mean nothing
	Reset   bool   `json:"reset,omitempty"`  // the sender's numbers begin anew with the first one
	From    uint64 `json:"from"`             // MsgSeqNum of the first
	To      uint64 `json:"to"`               // and of the last
	First   uint64 `json:"first"`            // where the first is: its sequence in the archive
	Last    uint64 `json:"last"`             // and the last
}

// Gap is numbers that a sender left out.
type Gap struct {
	Session string       `json:"session"`
	Side    int          `json:"side"`
	Missing fixbuf.Range `json:"missing"`
	Before  uint64       `json:"before"` // sequence of the record that came instead
	Time    int64        `json:"time"`   // of that record, Unix nanoseconds
}

const (
	maxRun  = 1024    // messages of a run, so that finding one takes reading no more of its session
	maxGaps = 10_000  // listed of a segment
	maxRuns = 1 << 20 // kept in a file

	maxSessions = 10_000 // likewise
)

// builder makes the index of a segment from its records.
type builder struct {
	sessions state
	runs     []Run
	gaps     []Gap
	current  map[place]int // index of the run that goes on
	byStream map[uint16]string
	header   fixbuf.Header
	name     string // of the last identity, to save making it anew
	identity fixbuf.Identity
}

type place struct {
	session string
	side    int
	repeat  bool
}

func newBuilder(start state) *builder {
	return &builder{sessions: maps.Clone(start), current: map[place]int{}, byStream: map[uint16]string{}}
}

// see takes a data record, in order.
func (b *builder) see(rec journal.Record, stream string) {
	switch rec.Kind {
	case fixbuf.KindSkipped:
		b.count(stream, func(s *Session) { s.Skipped += uint64(len(rec.Payload)) })
		return
	case fixbuf.KindBadSum:
		b.count(stream, func(s *Session) { s.BadSum++ })
		return
	case journal.KindData:
	default:
		return
	}
	if !isFIX(rec.Payload) {
		return
	}
	h := &b.header
	if h.Parse(rec.Payload) != nil {
		b.count(stream, func(s *Session) { s.Malformed++ })
		return
	}
	name := b.session(h)
	s := b.sessions[name]
	s.Identity = b.identity
	side := h.Side()
	if rec.Flags&journal.FlagOutbound != 0 {
		s.Out[side]++
	} else {
		s.In[side]++
	}
	if s.First == 0 {
		s.First = rec.Time
	}
	s.Last = rec.Time
	step := s.Seq[side].See(h)
	b.sessions[name] = s
	if step.Gap.To > 0 && len(b.gaps) < maxGaps {
		b.gaps = append(b.gaps, Gap{name, side, step.Gap, rec.Seq, rec.Time})
	}
	// The number of a SequenceReset-Reset itself means nothing: it begins no day.
	b.run(place{name, side, step.Repeat || isReset(h)}, step, h.SeqNum, rec.Seq)
}

// isFIX tells data records that are FIX messages from others: the framer that
// recorded them looked no further.
func isFIX(payload []byte) bool {
	return len(payload) >= fixbuf.MinMessage && string(payload[:5]) == "8=FIX"
}

// isReset tells whether a message is a SequenceReset-Reset.
func isReset(h *fixbuf.Header) bool { return h.Is(fixbuf.TypeSequenceReset) && !h.GapFill }

// session is the name of a message's session.
func (b *builder) session(h *fixbuf.Header) string {
	if !b.identity.Is(h) || b.name == "" {
		b.identity = h.Identity()
		b.name = b.identity.String()
	}
	return b.name
}

// run puts a message into the run that it goes on with, or begins one.
func (b *builder) run(p place, step fixbuf.Step, n, seq uint64) {
	if i, ok := b.current[p]; ok && !step.Reset {
		r := &b.runs[i]
		if n == r.To+1 && n-r.From < maxRun {
			r.To, r.Last = n, seq
			return
		}
	}
	b.current[p] = len(b.runs)
	b.runs = append(b.runs, Run{Session: p.session, Side: p.side, Repeat: p.repeat, Reset: step.Reset, From: n, To: n, First: seq, Last: seq})
}

// lose takes a loss record.
func (b *builder) lose(l journal.Loss, stream string) {
	b.count(stream, func(s *Session) {
		if l.Records == 0 {
			s.LossGaps++
		}
		s.Lost += l.Records
		s.LostBytes += l.Bytes
	})
}

// count changes the session that a stream is named after, if its name is that of
// one.
func (b *builder) count(stream string, change func(*Session)) {
	if len(stream) < 3 || stream[:3] != "FIX" {
		return
	}
	s := b.sessions[stream]
	change(&s)
	b.sessions[stream] = s
}

package fixbuf

import "strconv"

// Range is the numbers From to To, both included.
type Range struct{ From, To uint64 }

// String is "5", or "5 to 9".
func (r Range) String() string {
	if r.From == r.To {
		return strconv.FormatUint(r.From, 10)
	}
	return strconv.FormatUint(r.From, 10) + " to " + strconv.FormatUint(r.To, 10)
}

// Len is how many numbers there are.
func (r Range) Len() uint64 { return r.To - r.From + 1 }

// Sequence follows the MsgSeqNum of one sender in one session, message by
// message. The zero value has seen nothing; it copies as a value.
type Sequence struct {
	First    uint64 // number of the first message seen
	Next     uint64 // the number expected next; 0: nothing was seen
	Messages uint64 // seen, repetitions included
	PossDups uint64 // repetitions: PossDupFlag (43) is Y
	Resets   uint64 // times that the numbers went back, or were set by SequenceReset-Reset
	Gaps     uint64 // times that numbers were missing
	Missing  uint64 // numbers that were missing in those, whether or not they came later as repetitions
	TooLow   uint64 // messages with a number below Next and no reason for it; the peer must end the session
	Low      uint64 // the number of the last message, if that was too low; otherwise 0
}

// Step is what a message did to a sequence.
type Step struct {
	Gap    Range // numbers that are missing before it; To is 0 when there are none
	Reset  bool  // the numbers begin anew with it, or behind it
	Repeat bool  // it is a repetition, or too low, and Next stays as it is
}

// See takes the next message of the sender. Messages whose CheckSum is wrong do
// not count: the peer ignores them.
//
// A Logon with a lower number than expected, or with ResetSeqNumFlag (141),
// begins anew; so does SequenceReset-Reset behind itself, whatever its own
// number. SequenceReset-GapFill stands for the numbers up to NewSeqNo (36). Two
// numbers in a row that are too low begin anew with the second: a peer would have
// ended the session at the first, so what told of it was not seen.
func (s *Sequence) See(h *Header) (step Step) {
	s.Messages++
	low := s.Low
	s.Low = 0
	if s.First == 0 {
		s.First = h.SeqNum
	}
	n := h.SeqNum
	logon := h.Is(TypeLogon)
	switch {
	case h.Is(TypeSequenceReset) && !h.GapFill:
		if h.NewSeqNo > 0 {
			s.Resets++
			s.Next = h.NewSeqNo
			return Step{Reset: true}
		}
		return Step{Repeat: true}
	case h.PossDup && s.Next > 0 && n < s.Next:
		s.PossDups++
		if h.Is(TypeSequenceReset) { // a gap fill may reach beyond what was seen
			s.Next = max(s.Next, h.NewSeqNo)
		}
		return Step{Repeat: true}
	case h.PossDup:
		s.PossDups++
	case logon && s.Next > 0 && (n < s.Next || h.ResetSeq && n != s.Next):
		s.Resets++
		s.Next = n
		step.Reset = true
	case n < s.Next && low > 0 && n == low+1:
		s.Resets++
		s.Next = n
		step.Reset = true
	case n < s.Next:
		s.TooLow++
		s.Low = n
		return Step{Repeat: true}
	}
	if s.Next > 0 && n > s.Next {
		step.Gap = Range{s.Next, n - 1}
		s.Gaps++
		s.Missing += step.Gap.Len()
	}
	s.Next = n + 1
	if h.Is(TypeSequenceReset) {
		s.Next = max(s.Next, h.NewSeqNo)
	}
	return step
}

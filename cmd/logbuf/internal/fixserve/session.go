package fixserve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
)

// Limits of a session.
const (
	logonTimeout = 10 * time.Second // for the Logon to come
	writeTimeout = 30 * time.Second // for the peer to take one message
	maxMessage   = 1 << 20          // longest message that is read, bytes
	maxHeartBeat = time.Hour
	maxNotes     = 100 // lines about what the peer sends that it should not
)

// Session is a connection on which an engine has to log on. Serve runs it.
type Session struct {
	// Find gives the source for an engine that calls itself peer and wants to
	// speak to me, or an error that it is told.
	Find func(id Peers) (*Source, error)
	// Say is told what happens; never nil.
	Say func(format string, args ...any)

	conn   net.Conn
	framer *fixbuf.Framer
	parts  []byte // read and not yet framed
	buf    []byte

	id     Peers
	source *Source
	beat   time.Duration

	builder Builder
	next    uint64 // our next number
	sent    time.Time
	waiting bool // for the answer to our TestRequest
	notes   int  // lines so far
}

// errOver ends a session in good order.
var errOver = errors.New("over")

// Serve runs the session until the peer logs out, the connection ends, or ctx is
// done, when it says goodbye. A logout by either side is a good end.
func (s *Session) Serve(ctx context.Context, conn net.Conn) error {
	s.conn, s.framer, s.buf = conn, fixbuf.NewFramer(maxMessage), make([]byte, 16<<10)
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })() // ends what waits, also for a peer that reads nothing
	if err := s.logon(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	for {
		msg, err := s.receive(ctx, time.Now().Add(s.beat+s.beat/5+time.Second))
		switch {
		case ctx.Err() != nil:
			return s.say(fixbuf.TypeLogout, Field{58, "the replay ends"})
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = s.silent()
		case err == nil:
			err = s.answer(ctx, msg)
		}
		if err == errOver {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s closed the connection without a Logout", s.id.Peer)
		}
		if err != nil {
			return err
		}
	}
}

// receive waits for the next message with a right CheckSum until the deadline. Meanwhile
// heartbeats go out.
func (s *Session) receive(ctx context.Context, deadline time.Time) ([]byte, error) {
	for {
		part, b, rest := s.framer.Next(s.parts)
		s.parts = rest
		switch part {
		case fixbuf.Message:
			return b, nil
		case fixbuf.More:
			if err := s.fill(ctx, deadline); err != nil {
				return nil, err
			}
		default:
			s.note("%s: %d bytes from the engine passed over: %v", s.id.Peer, len(b), part)
		}
	}
}

// fill reads from the connection, and sends heartbeats while nothing comes.
func (s *Session) fill(ctx context.Context, deadline time.Time) error {
	for {
		until := deadline
		if s.source != nil {
			if at := s.sent.Add(s.beat); at.Before(until) {
				until = at
			}
		}
		s.conn.SetReadDeadline(until)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := s.conn.Read(s.buf)
		s.parts = s.buf[:n]
		if n > 0 {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(deadline) || ctx.Err() != nil {
			return err
		}
		if err := s.say(fixbuf.TypeHeartbeat); err != nil {
			return err
		}
	}
}

// note says what the peer has sent that it should not. One that goes on with it
// does not fill the log.
func (s *Session) note(format string, args ...any) {
	switch s.notes++; {
	case s.notes < maxNotes:
		s.Say(format, args...)
	case s.notes == maxNotes:
		s.Say("%s; no more is said about what this connection sends", fmt.Sprintf(format, args...))
	}
}

// logon waits for the engine's Logon and answers it.
func (s *Session) logon(ctx context.Context) error {
	msg, err := s.receive(ctx, time.Now().Add(logonTimeout))
	if err != nil {
		return fmt.Errorf("no Logon came: %w", err)
	}
	var h fixbuf.Header
	if err := h.Parse(msg); err != nil || !h.Is(fixbuf.TypeLogon) {
		return fmt.Errorf("the first message is no Logon but %q: %w", h.MsgType, errors.Join(err, errOver))
	}
	s.id = Peers{BeginString: string(h.BeginString), Me: string(h.Target), Peer: string(h.Sender)}
	s.beat = time.Duration(min(h.HeartBtInt, uint64(maxHeartBeat/time.Second))) * time.Second
	if s.beat == 0 {
		s.beat = maxHeartBeat // 0 asks for no heartbeats
	}
	s.next = 1
	source, err := s.Find(s.id)
	if err != nil {
		return errors.Join(err, s.say(fixbuf.TypeLogout, Field{58, err.Error()}))
	}
	if h.ResetSeq {
		err := errors.New("ResetSeqNumFlag (141) asks for no message to be sent again: log on without it, with the number that is expected next")
		return errors.Join(err, s.say(fixbuf.TypeLogout, Field{58, err.Error()}))
	}
	s.next = source.Next()
	s.source = source
	s.Say("%s logs on to %s; the next message of %s would be %d", s.id.Peer, s.id.Me, s.id.Me, s.next)
	fields := []Field{{98, "0"}, {108, strconv.FormatUint(h.HeartBtInt, 10)}}
	if strings.HasPrefix(s.id.BeginString, "FIXT") {
		fields = append(fields, Field{1137, value(msg, 1137, "9")})
	}
	return s.say(fixbuf.TypeLogon, fields...)
}

// value is that of a field of a message, or another one.
func value(msg []byte, tag int, without string) string {
	fixbuf.Fields(msg, func(t int, v []byte) bool {
		if t == tag {
			without = string(v)
		}
		return t != tag
	})
	return without
}

// answer does what a message of the engine asks for.
func (s *Session) answer(ctx context.Context, msg []byte) error {
	var h fixbuf.Header
	if err := h.Parse(msg); err != nil {
		s.note("%s: a message passed over: %v", s.id.Peer, err)
		return nil
	}
	s.waiting = false
	switch {
	case h.Is(fixbuf.TypeTestRequest):
		return s.say(fixbuf.TypeHeartbeat, Field{112, string(h.TestReqID)})
	case h.Is(fixbuf.TypeResendRequest):
		return s.resend(ctx, h.BeginSeqNo, h.EndSeqNo)
	case h.Is(fixbuf.TypeLogout):
		if err := s.say(fixbuf.TypeLogout); err != nil {
			return err
		}
		s.Say("%s logs out", s.id.Peer)
		return errOver
	case isReject(&h):
		s.note("%s rejects a message: %q", s.id.Peer, value(msg, 58, "no reason is given"))
	case !h.Admin():
		s.note("%s sends a message of type %q, MsgSeqNum %d, which nobody takes here", s.id.Peer, h.MsgType, h.SeqNum)
	}
	return nil
}

// resend answers a ResendRequest. to 0 or beyond the end is all there is.
func (s *Session) resend(ctx context.Context, from, to uint64) error {
	if to == 0 || to >= s.next {
		to = s.next - 1
	}
	if from == 0 || from > to {
		s.Say("%s asks for messages from %d on, and the last is %d", s.id.Peer, from, s.next-1)
		return nil
	}
	r, err := s.source.Resend(ctx, s.id, from, to, time.Now, func(m []byte) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return s.write(m)
	})
	s.Say("%s asks for messages %d to %d: sent %d again, gap fills for %d, of which the archive lacks %d%s",
		s.id.Peer, from, to, r.Messages, r.Filled, r.Missing, r.Trouble())
	return err
}

// silent asks an engine from which nothing has come whether it is there; the
// second time it is given up.
func (s *Session) silent() error {
	again := s.waiting
	s.waiting = true
	if again {
		return fmt.Errorf("nothing came from %s for two heartbeat intervals of %v, nor an answer to a TestRequest", s.id.Peer, s.beat)
	}
	return s.say(fixbuf.TypeTestRequest, Field{112, "logbuf"})
}

// say sends a session message with our next number.
func (s *Session) say(msgType string, fields ...Field) error {
	m := s.builder.Message(s.id, msgType, s.next, time.Now(), fields...)
	s.next++
	return s.write(m)
}

func (s *Session) write(m []byte) error {
	s.sent = time.Now()
	s.conn.SetWriteDeadline(s.sent.Add(writeTimeout))
	_, err := s.conn.Write(m)
	return err
}

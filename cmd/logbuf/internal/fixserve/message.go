// Package fixserve answers a FIX engine from an archive: a session that knows
// Logon, Heartbeat, TestRequest, ResendRequest and Logout, and sends what the
// archive has again.
package fixserve

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
)

// Times of FIX: UTCTimestamp with and without milliseconds.
const (
	seconds      = "20060102-15:04:05"
	milliseconds = "20060102-15:04:05.000"
)

// stamp is a time as the fields of a message of that version have it.
func stamp(t time.Time, beginString string) string {
	if beginString == "FIX.4.0" || beginString == "FIX.4.1" {
		return t.UTC().Format(seconds)
	}
	return t.UTC().Format(milliseconds)
}

// Builder makes one message at a time.
type Builder struct {
	body, out []byte
}

func (b *Builder) add(tag int, value string) {
	b.body = strconv.AppendInt(b.body, int64(tag), 10)
	b.body = append(append(append(b.body, '='), value...), 1)
}

// finish puts BeginString, BodyLength and CheckSum around the body. The message
// is valid until the next one is made.
func (b *Builder) finish(beginString string) []byte {
	b.out = fmt.Appendf(b.out[:0], "8=%s\x019=%d\x01", beginString, len(b.body))
	b.out = append(b.out, b.body...)
	b.out = fmt.Appendf(b.out, "10=%03d\x01", fixbuf.Checksum(b.out))
	return b.out
}

// Field is a tag and its value.
type Field struct {
	Tag   int
	Value string
}

// Message makes a session message.
func (b *Builder) Message(id Peers, msgType string, seq uint64, now time.Time, fields ...Field) []byte {
	b.body = b.body[:0]
	b.add(35, msgType)
	b.add(34, strconv.FormatUint(seq, 10))
	b.add(49, id.Me)
	b.add(52, stamp(now, id.BeginString))
	b.add(56, id.Peer)
	for _, f := range fields {
		b.add(f.Tag, f.Value)
	}
	return b.finish(id.BeginString)
}

// GapFill makes a SequenceReset that stands for the messages from to next−1.
func (b *Builder) GapFill(id Peers, from, next uint64, now time.Time) []byte {
	return b.Message(id, fixbuf.TypeSequenceReset, from, now,
		Field{43, "Y"}, Field{122, stamp(now, id.BeginString)}, Field{123, "Y"}, Field{36, strconv.FormatUint(next, 10)})
}

// Resend makes a recorded message anew, as a repetition: PossDupFlag (43) is Y,
// OrigSendingTime (122) is when it was first sent, SendingTime (52) is now; BodyLength and
// CheckSum are right again. All other fields stay as they are, in their order.
func (b *Builder) Resend(msg []byte, now time.Time) ([]byte, error) {
	var h fixbuf.Header
	if err := h.Parse(msg); err != nil {
		return nil, err
	}
	first := h.OrigSending
	if first == nil {
		first = h.SendingTime
	}
	layout := milliseconds
	if bytes.IndexByte(h.SendingTime, '.') < 0 {
		layout = seconds
	}
	b.body = b.body[:0]
	stamped := false
	addStamps := func() {
		stamped = true
		b.add(43, "Y")
		b.add(52, now.UTC().Format(layout))
		if first != nil {
			b.add(122, string(first))
		}
	}
	err := fixbuf.Fields(msg, func(tag int, value []byte) bool {
		switch tag {
		case 8, 9, 10, 43, 122:
		case 52:
			if !stamped {
				addStamps()
			}
		default:
			b.add(tag, string(value))
		}
		return true
	})
	if err == nil && !stamped {
		err = fmt.Errorf("no SendingTime (52)")
	}
	return b.finish(string(h.BeginString)), err
}

// Peers is a session as one side sees it.
type Peers struct {
	BeginString string
	Me, Peer    string // CompIDs
}

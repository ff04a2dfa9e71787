package audit

import (
	"errors"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/feed"
	"github.com/nexus-logbuf/logbuf/journal"
)

func digest(op ws.OpCode, payload string) feed.Digest {
	return feed.DigestOf(op, true, []byte(payload))
}

// ledger is a connection: two messages, a ping, a fragmented message, and the
// close.
func ledger() *feed.Ledger {
	return &feed.Ledger{
		Symbol: "S",
		Sent: []feed.Digest{
			digest(ws.OpText, "one"), digest(ws.OpPing, "p"), feed.DigestOf(ws.OpBinary, false, []byte("two")),
			digest(ws.OpContinuation, ""), digest(ws.OpClose, "\x03\xe8bye"),
		},
		Received: []feed.Digest{digest(ws.OpPong, "p"), digest(ws.OpClose, "\x03\xe8")},
	}
}

const final, out = journal.FlagFinal, journal.FlagOutbound

// archived is what a faithful archive of it holds.
func archived() []journal.Record {
	return []journal.Record{
		{Kind: 1, Flags: 1 | final, Payload: []byte("one")},
		{Kind: 1, Flags: 9 | final, Payload: []byte("p")},
		{Kind: 1, Flags: 10 | final | out, Payload: []byte("p")},
		{Kind: 1, Flags: 2, Payload: []byte("two")},
		{Kind: 1, Flags: 0 | final, Payload: nil},
		{Kind: 1, Flags: 8 | final, Payload: []byte("\x03\xe8bye")},
		{Kind: 1, Flags: 8 | final | out, Payload: []byte("\x03\xe8")},
	}
}

func lossRecord(first, records, bytes uint64) journal.Record {
	return journal.Record{Kind: journal.KindLoss, Payload: journal.Loss{First: first, Records: records, Bytes: bytes, Reason: journal.LossOverload}.Append(nil)}
}

func TestAudit(t *testing.T) {
	replace := func(i, n int, with ...journal.Record) func([]journal.Record) []journal.Record {
		return func(r []journal.Record) []journal.Record {
			return append(append(append([]journal.Record(nil), r[:i]...), with...), r[i+n:]...)
		}
	}
	for _, tc := range []struct {
		name   string
		change func([]journal.Record) []journal.Record
		stream string
		err    string
		lost   uint64
	}{
		{name: "as sent", change: replace(0, 0)},
		{name: "control records", change: replace(2, 0, journal.Record{Kind: journal.KindMark, Payload: []byte{1}})},
		{name: "one declared lost", change: replace(0, 1, lossRecord(0, 1, 3)), lost: 1},
		{name: "three declared lost, one of them ours", change: replace(1, 3, lossRecord(1, 3, 5)), lost: 3},
		{name: "declared lost in two pieces", change: replace(1, 3, lossRecord(1, 1, 1), lossRecord(2, 2, 4)), lost: 3},
		{name: "all declared lost", change: replace(0, 7, lossRecord(0, 7, 3+1+1+3+5+2)), lost: 7},

		{name: "a byte differs", change: replace(0, 1, journal.Record{Kind: 1, Flags: 1 | final, Payload: []byte("onf")}), err: "frame 0"},
		{name: "the opcode differs", change: replace(0, 1, journal.Record{Kind: 1, Flags: 2 | final, Payload: []byte("one")}), err: "archived: binary"},
		{name: "the final bit differs", change: replace(3, 1, journal.Record{Kind: 1, Flags: 2 | final, Payload: []byte("two")}), err: "sent: binary, not final"},
		{name: "the direction differs", change: replace(2, 1, journal.Record{Kind: 1, Flags: 10 | final, Payload: []byte("p")}), err: "sent: outbound pong"},
		{name: "one missing", change: replace(3, 1), err: "frame 3"},
		{name: "an empty one missing", change: replace(4, 1), err: "frame 4"},
		{name: "the last one missing", change: replace(6, 1), err: "1 frames are missing at the end"},
		{name: "all missing", change: replace(0, 7), err: "7 frames are missing"},
		{name: "one twice", change: replace(1, 0, archived()[0]), err: "frame 1"},
		{name: "one too many", change: replace(7, 0, archived()[0]), err: "one more"},
		{name: "two swapped", change: replace(0, 2, archived()[1], archived()[0]), err: "frame 0"},
		{name: "declared lost and there", change: replace(0, 0, lossRecord(0, 1, 3)), err: "frame 1"},
		{name: "lost, at another place", change: replace(0, 1, lossRecord(1, 1, 3)), err: "declares 1 frames from 1 on"},
		{name: "lost, with other bytes", change: replace(0, 1, lossRecord(0, 1, 4)), err: "with 4 bytes; they had 3"},
		{name: "lost, more than there were", change: replace(6, 1, lossRecord(6, 2, 2)), err: "1 were sent"},
		{name: "a gap", change: replace(1, 0, lossRecord(1, 0, 0)), err: "unknown size"},
		{name: "another stream", change: replace(0, 0), stream: "X", err: "a stream that nobody sent"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want, err := Expected(ledger())
			if err != nil {
				t.Fatal(err)
			}
			a := New(map[string][]Frame{"S": want})
			stream := "S"
			if tc.stream != "" {
				stream = tc.stream
			}
			var res Result
			for i, rec := range tc.change(archived()) {
				rec.Seq = uint64(i)
				if err = a.Record(stream, rec); err != nil {
					break
				}
			}
			if err == nil {
				res, err = a.Finish()
			}
			if tc.err == "" {
				if err != nil || res.Lost != tc.lost || res.Frames != 7-tc.lost {
					t.Errorf("%v, result %+v, want no error, %d lost", err, res, tc.lost)
				}
				return
			}
			var m *Mismatch
			if !errors.As(err, &m) || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%v, want a Mismatch with %q", err, tc.err)
			}
		})
	}
}

func TestExpectedNeedsAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(l *feed.Ledger)
		err    string
	}{
		{"no pong", func(l *feed.Ledger) { l.Received = l.Received[1:] }, "no answer to frame 1"},
		{"another pong", func(l *feed.Ledger) { l.Received[0] = digest(ws.OpPong, "q") }, "differs from its ping"},
		{"no close", func(l *feed.Ledger) { l.Received = l.Received[:1] }, "no answer to frame 4"},
		{"too much", func(l *feed.Ledger) { l.Received = append(l.Received, digest(ws.OpText, "?")) }, "1 frames that answer nothing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := ledger()
			tc.change(l)
			if _, err := Expected(l); err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%v, want %q", err, tc.err)
			}
		})
	}
}

// Package fixbuf records FIX sessions: whole messages, byte for byte, both
// directions, one stream for each session.
//
//	rec, err := recorder.Open("day1", nil)
//	sessions := fixbuf.NewRecorder(rec, nil)
//	conn := fixbuf.NewConn(nc, sessions) // a net.Conn, for an engine to use
//	…
//	conn.Close()
//	sessions.Close()
//	err = rec.Close(ctx)
//
// # Framing
//
// A message is BeginString (8), BodyLength (9), that many bytes, and CheckSum
// (10). Framer finds messages in pieces of a byte stream as they come; a message
// that lies whole in the caller's buffer is not copied. What is no message is
// found, too, and named: bytes skipped in search of the next message, and the
// beginning of a message longer than the limit. A message whose CheckSum is wrong is a
// message all the same, and says so. Every byte is in exactly one part.
//
// # What is recorded
//
// The record's payload is the message as it came. Its kind tells what it is:
// journal.KindData for a message, KindBadSum for one with a wrong CheckSum,
// KindSkipped for bytes that are no message. journal.FlagOutbound marks what
// this side sent. The time is that of the call that brought the message's last
// byte.
//
// Bytes that come on a connection before its first message cannot be recorded,
// because their session is not known: they are counted, and the session gets a
// loss record that says how many bytes there were.
//
// # Sessions
//
// A session is BeginString and the two CompIDs, whoever of the two is the
// sender: Identity. Its name is also that of its stream: FIX.4.4:BUYER-SELLER,
// the lower CompID first, so that both sides give it the same name. Each session has a lane
// of its own, so that one that floods the recorder costs no other its messages.
//
// # Sequence numbers
//
// Sequence follows MsgSeqNum (34) of one sender. A number that is higher than
// expected is a gap, a Logon or SequenceReset may set the numbers back, a
// message with PossDupFlag (43) is a repetition and fills gaps but makes none.
// A gap on the wire is no loss of the recorder's: those are in
// SessionStats.Recording, and in the archive as loss records.
package fixbuf

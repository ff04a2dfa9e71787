// Package wsbuf records WebSocket frames, in one of two ways. A Tap looks on while
// a program uses the WebSocket library that it uses anyway:
//
//	dialer := gorilla.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
//		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
//		if err != nil { … }
//		return wsbuf.NewTap(nc, in, out, nil), nil // two producers, one for each direction
//	}}
//
// And a Conn is a client of its own for what is only to be recorded: it takes
// frames from the socket straight into the claimed memory of a lane.
//
//	conn, err := wsbuf.Dial(ctx, "wss://example.com/feed", producer, nil)
//	if err != nil { … }
//	defer conn.Close()
//	err = conn.Send(ctx, ws.OpText, []byte(`{"op":"subscribe"}`))
//	err = conn.Record(ctx) // until the peer closes, the connection drops, or ctx is done
//
// # What is recorded
//
// One record for each frame, as it came: the payload, unmasked, and nothing
// else. Bits 0–3 of the record's flags are the opcode, journal.FlagFinal is the
// FIN bit, journal.FlagOutbound marks what this side sent (a Conn records that
// when Options.Outbound is set), journal.FlagCompressed the frames of compressed
// messages. Fragments stay fragments and control frames are records like any
// other, so the sequence of frames can be had back exactly; of a compressed
// message the first frame had RSV1 set. Text is not checked to be UTF-8: a
// recorder keeps what came. A record's time is that of the Read or Write which
// completed the frame (Tap), or when its header was read (Conn).
//
// Where a tapped connection begins, each stream has a record of kind
// KindHandshake with what was negotiated. Messages reads all that back as
// messages, joined and inflated.
//
// # Two lanes or one
//
// A Tap takes two producers. Give it two, one for each direction: lanes that
// nobody shares are the fastest, and both directions have their order. Which of
// two frames of different directions was first is told by their times, see
// journal.ReaderOptions.Window. Where the order of question and answer in one
// stream matters more, give it one producer twice that was made with
// recorder.ProducerOptions.Shared. A Tap claims room only for frames that it has
// whole, so that neither direction holds up the other.
//
// # Compression
//
// A Tap sees what the library negotiates (permessage-deflate) and records the
// compressed payloads, or with TapOptions.Inflate whole messages, inflated. Dial
// offers compression as Options.Deflate says. Compressed payloads are bit for bit
// what came, cost nothing to record and take less of the disk, but with context
// takeover each of them refers to those before it: what follows a lost one can
// not be read until the sender refers to it no more. Messages gives such a
// message right or as an error, never wrong. Inflating needs the CPU where the
// recording is made, and a lost message costs only itself. What cannot be
// inflated, because it is corrupt or would be larger than a record can be (a zip
// bomb), is recorded as it came, with a gap in front of it.
//
// # The path of a byte in a Conn
//
// The connection's read buffer holds the header; it is checked, a claim of the
// payload's length is taken, and the payload is copied once, from the read
// buffer into the claim. Payloads larger than what is buffered are read from
// the socket into the claim without a copy. There is no allocation for a frame.
//
// The claim stays open while the peer takes its time over the rest of a frame.
// That holds up nobody: give each connection a producer with a lane of its own
// (not recorder.ProducerOptions.Shared), where an open claim does not even move
// the tail.
//
// # What cannot be recorded
//
// A frame that finds the ring full under recorder.OverloadDrop is read and
// thrown away, and the recorder counts it. A frame larger than Options.MaxFrame
// or than the lane can take is read and thrown away too, in constant memory, and
// counted as lost for its size; one larger than Options.MaxSkip ends the
// connection with close code 1009 instead, since reading a length that may be a
// lie to its end could take for ever. A frame of which only a part arrived is
// counted as lost with the bytes that had come.
//
// # Who checks what
//
// A frame that breaks RFC 6455 ends the connection with close code 1002 and a
// *ProtocolError that names the frame by number and byte offset: a mask where
// none may be (or none where one must be), reserved bits or opcodes, fragmented
// or over-long control frames, continuations out of place, lengths that are not
// in their shortest form or have the sign bit set, and close frames with a
// malformed payload. Reserved bits are a breach unless compression was
// negotiated.
//
// A Tap applies the same rules to frames (not to what close frames say), but it
// never touches the connection: the recording of that direction ends with a gap,
// Err returns the *ProtocolError, and the library goes on or not as it sees fit.
package wsbuf

// Package wsbuf records WebSocket frames: from a connection straight into the
// claimed memory of a recorder's lane.
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
// FIN bit, journal.FlagOutbound marks what this side sent (recorded when
// Options.Outbound is set). Fragments stay fragments and control frames are
// records like any other, so the sequence of frames can be had back exactly.
// The record's time is the time at which the frame's header was read. Text is
// not checked to be UTF-8: a recorder keeps what came.
//
// # The path of a byte
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
// malformed payload. No extension is ever offered, so reserved bits have no
// meaning here.
package wsbuf

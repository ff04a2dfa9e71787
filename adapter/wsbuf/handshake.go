package wsbuf

// KindHandshake is the kind of the record that stands where a connection begins:
// the server's answer to the handshake, as text, and of its headers those that
// say how to read the frames behind it:
//
//	HTTP/1.1 101 Switching Protocols
//	Sec-WebSocket-Protocol: v2.feed
//	Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover
//
// Lines end with CR LF, and an empty one is last: http.ReadResponse reads it.
// Nothing of the request is recorded, which may hold secrets.
const KindHandshake uint8 = 0x24

// answer makes the payload of a KindHandshake record.
func answer(protocol, extensions string) []byte {
	b := []byte("HTTP/1.1 101 Switching Protocols\r\n")
	for _, h := range [2][2]string{{"Sec-WebSocket-Protocol", protocol}, {"Sec-WebSocket-Extensions", extensions}} {
		if h[1] != "" {
			b = append(append(append(append(b, h[0]...), ": "...), h[1]...), "\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}

package wsbuf

import "fmt"

// Deflate says what becomes of compressed messages (permessage-deflate,
// RFC 7692) on a connection of Dial's.
type Deflate uint8

// Choices.
const (
	// DeflateOff does not offer the extension: nothing comes compressed.
	DeflateOff Deflate = iota
	// DeflateRaw records the payloads as they come, with journal.FlagCompressed.
	// The server is asked to compress each message on its own
	// (server_no_context_takeover), so that a message that is lost spoils no
	// other. Messages inflates them later.
	DeflateRaw
	// DeflateInflate records each compressed message whole, as one frame, inflated.
	// The server may compress across messages, which takes less of the network.
	DeflateInflate
)

// ParseDeflate reads "off", "raw" or "inflate".
func ParseDeflate(s string) (Deflate, error) {
	switch s {
	case "off":
		return DeflateOff, nil
	case "raw":
		return DeflateRaw, nil
	case "inflate":
		return DeflateInflate, nil
	}
	return 0, fmt.Errorf("%q: must be off, raw or inflate", s)
}

package fixbuf

import (
	"bytes"
	"fmt"
	"strings"
)

// MaxCompID is the longest CompID that a session is recorded for, in bytes.
const MaxCompID = 64

// Identity is what a session is known by: BeginString, and the CompIDs of both
// sides, Low < High. Messages of either direction have the same one.
type Identity struct {
	BeginString string
	Low, High   string
}

// Identity is the session that the message belongs to.
func (h *Header) Identity() Identity {
	low, high := h.Sender, h.Target
	if bytes.Compare(low, high) > 0 {
		low, high = high, low
	}
	return Identity{BeginString: string(h.BeginString), Low: string(low), High: string(high)}
}

// Side says which of the two sides sent the message: 0 is Identity.Low.
func (h *Header) Side() int {
	if bytes.Compare(h.Sender, h.Target) > 0 {
		return 1
	}
	return 0
}

// Is tells whether the message belongs to the session. It allocates nothing.
func (id *Identity) Is(h *Header) bool {
	low, high := h.Sender, h.Target
	if h.Side() == 1 {
		low, high = high, low
	}
	return string(low) == id.Low && string(high) == id.High && string(h.BeginString) == id.BeginString
}

// CompID is that of a side, 0 or 1.
func (id Identity) CompID(side int) string {
	if side == 0 {
		return id.Low
	}
	return id.High
}

// String is the session's name and that of its stream, as in
// FIX.4.4:BUYER-SELLER. Bytes other than printable ASCII, the %, the : of a
// BeginString, and the - of the lower CompID are written as %XX, so that no two
// sessions have one name, whatever a peer calls itself.
func (id Identity) String() string {
	return escape(id.BeginString, "%:") + ":" + escape(id.Low, "%-") + "-" + escape(id.High, "%")
}

func escape(s, special string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(special, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

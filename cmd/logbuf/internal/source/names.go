package source

import "fmt"

// String is the inverse of ParseFrame.
func (f Frame) String() string {
	switch f {
	case Line:
		return "line"
	case Raw:
		return "raw"
	case FIX:
		return "fix"
	case Len32:
		return "len32"
	case Len32LE:
		return "len32le"
	}
	return fmt.Sprintf("Frame(%d)", uint8(f))
}

// String is the inverse of ParseReconnect.
func (r Reconnect) String() string {
	switch r {
	case OnDrop:
		return "drop"
	case Never:
		return "never"
	case Always:
		return "always"
	}
	return fmt.Sprintf("Reconnect(%d)", uint8(r))
}

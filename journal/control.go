package journal

import (
	"fmt"
	"unicode/utf8"
)

// MaxStreamName is the longest name of a stream, in bytes.
const MaxStreamName = 1024

const (
	streamVersion = 1
	closeVersion  = 1
)

// appendStream appends the payload of a stream definition. The stream's id is in the frame.
//
//	0         1
//	┌─────────┬──────────────────────┐
//	│ version │ name, UTF-8          │
//	│ 1       │ 1…1024 bytes         │
//	└─────────┴──────────────────────┘
func appendStream(dst []byte, name string) []byte {
	dst = append(dst, streamVersion)
	return append(dst, name...)
}

// ParseStream reads the payload of a stream definition (KindStream).
func ParseStream(payload []byte) (name string, err error) {
	if len(payload) < 1 || payload[0] != streamVersion {
		return "", fmt.Errorf("journal: stream definition of %d bytes is not one of version %d", len(payload), streamVersion)
	}
	name = string(payload[1:])
	return name, checkStreamName(name)
}

func checkStreamName(name string) error {
	if len(name) == 0 || len(name) > MaxStreamName || !utf8.ValidString(name) {
		return fmt.Errorf("journal: stream name %.40q: must be 1 to %d bytes of UTF-8, is %d bytes", name, MaxStreamName, len(name))
	}
	return nil
}

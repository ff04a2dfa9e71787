package feed

import (
	"time"

	"github.com/gobwas/ws"
)

// Frame is one WebSocket frame to send.
type Frame struct {
	Op      ws.OpCode
	Final   bool
	Payload []byte        // valid until the generator's next call of Next
	Due     time.Duration // after the start of the connection; never decreases
}

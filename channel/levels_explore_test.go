//go:build logbuf_explore

package channel

import (
	"context"
	"fmt"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/explore"
)

// Claims are waited for without limit. Level 0 is closed while a claim of it is
// between the tail and its mark; level 1 stays open, and silent. The claim
// leaks, and what was sent behind it must come all the same: the ring is closed.
func TestExploreLevelClosedDuringAClaim(t *testing.T) {
	holds(t, 2, func() explore.Program {
		txs, rx, _ := NewPriority(2, 128, &Options{StallLimit: -1})
		clone := txs[0].Clone()
		got := 0
		return explore.Program{
			Threads: []func(){
				func() { txs[0].TryClaim(2) }, // leaked
				func() {
					clone.TrySend([]byte{1, 0})
					txs[0].Close()
					clone.Close()
				},
				func() {
					if _, err := rx.Recv(context.Background()); err == nil {
						got++
					}
				},
			},
			Check: func() error {
				if got != 1 {
					return fmt.Errorf("received %d records, want 1", got)
				}
				return nil
			},
		}
	})
}

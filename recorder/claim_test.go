package recorder

import (
	"testing"
	"unsafe"
)

// The compiler keeps no value of more than four words in registers. A claim that is copied through memory is read back in other pieces than it
// was written in, and that waits for all stores before it, those into the lane as well: 64 bytes took 40 ns in place of 25.
func TestClaimStaysInRegisters(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("a position has two words here")
	}
	if got := unsafe.Sizeof(Claim{}); got > 4*8 {
		t.Errorf("a Claim has %d bytes, at most 32 stay in registers", got)
	}
}

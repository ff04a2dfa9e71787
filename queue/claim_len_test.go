package queue

import "testing"

// A claim knows how long it was, open, committed, in part, aborted; one that holds nothing has no length.
func TestClaimLen(t *testing.T) {
	single, _, _ := NewSPSC(1 << 10)
	shared, _, _ := NewMPSC(1 << 10)
	for name, try := range map[string]func(n int) (Claim, error){"SPSC": single.TryClaim, "MPSC": shared.TryClaim} {
		for _, settle := range []func(Claim){func(Claim) {}, func(c Claim) { c.Commit() }, func(c Claim) { c.CommitN(1) }, Claim.Abort} {
			for _, n := range []int{1, 8, 100} {
				c, err := try(n)
				if err != nil {
					t.Fatal(err)
				}
				settle(c)
				if c.Len() != n {
					t.Errorf("%s: a claim of %d bytes says %d", name, n, c.Len())
				}
				c.Abort()
			}
		}
	}
	if got := (Claim{}).Len(); got != 0 {
		t.Errorf("the zero Claim says %d", got)
	}
}

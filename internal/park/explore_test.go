//go:build logbuf_explore

package park

import (
	"errors"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/explore"
	"github.com/nexus-logbuf/logbuf/internal/step"
)

// Two wakers each leave something and rouse a sleeper that dozes without an
// alarm, and arms every other time. In no order does it sleep on; without the
// second look, or if the wakers only call Wake, it does in some.
func TestExploreRouse(t *testing.T) {
	tests := []struct {
		name   string
		relook bool
		wake   func(*Parker)
		found  bool
	}{
		{"as shipped", true, (*Parker).Rouse, false},
		{"no second look", false, (*Parker).Rouse, true},
		{"Wake for what cannot wait", true, (*Parker).Wake, true},
	}
	for _, test := range tests {
		for _, tso := range []bool{false, true} {
			r := explore.Run(explore.Options{Preemptions: 3, TSO: tso}, func() explore.Program {
				p, seen := New(), uint64(0)
				var work step.Uint64
				wake := func() { work.Add(1); test.wake(p) }
				return explore.Program{
					Threads: []func(){wake, wake, func() {
						for n := 0; seen < 2; n++ {
							seen = work.Load()
							if n%2 == 0 {
								p.Doze()
							} else {
								p.Arm()
							}
							if now := work.Load(); test.relook && now != seen || seen == 2 {
								p.Disarm()
								continue
							}
							p.Park(nil, nil)
						}
					}},
					Check: func() error {
						if p.Asleep() || p.token.Full() {
							return errors.New("asleep at the end, or a token is left")
						}
						return nil
					},
				}
			})
			t.Logf("%s, TSO %v: %v", test.name, tso, r)
			if found := r.Err != nil; found != test.found {
				t.Errorf("%s, TSO %v: error %v\n%s", test.name, tso, r.Err, r.Trace)
			}
			if !test.found && !r.Complete {
				t.Errorf("%s: stopped after %d runs", test.name, r.Runs)
			}
		}
	}
}

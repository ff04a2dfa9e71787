//go:build !linux

package replay

import "time"

// Elsewhere the timer of the runtime is all there is: kqueue takes nanoseconds, and on Windows it uses high-resolution timers.
const fine = time.Duration(0)

func nap(time.Duration) {}

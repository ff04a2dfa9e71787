package replay

import (
	"time"

	"golang.org/x/sys/unix"
)

// fine is how long before a record is due the timer of the runtime is given up for napping. That timer sleeps in epoll_wait, in whole
// milliseconds: it can wake more than one late.
const fine = 2 * time.Millisecond

// nap sleeps d, at most fine, in the kernel's high-resolution timer, which is late by some 50 µs. It cannot be interrupted.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&ts, &ts) == unix.EINTR { // the runtime's own signals; ts is what is left
	}
}

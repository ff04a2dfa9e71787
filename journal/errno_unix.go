//go:build unix

package journal

import (
	"errors"
	"syscall"
)

// isFullHere is what isFull does not know on every system: a quota that is used up.
func isFullHere(err error) bool { return errors.Is(err, syscall.EDQUOT) }

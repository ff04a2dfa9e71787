//go:build unix

package journal

import (
	"errors"
	"syscall"
)

// isQuota reports whether an error says that a quota is used up: the disk is full, for us.
func isQuota(err error) bool { return errors.Is(err, syscall.EDQUOT) }

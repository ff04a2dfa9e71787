package journal

import (
	"errors"
	"syscall"
)

// isFullHere is what isFull does not know on every system: ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL.
func isFullHere(err error) bool {
	return errors.Is(err, syscall.Errno(39)) || errors.Is(err, syscall.Errno(112))
}

package cli

import (
	"errors"
	"syscall"
)

// isClosedPipeOS knows ERROR_BROKEN_PIPE and ERROR_NO_DATA, which Windows gives a writer whose reader is gone.
func isClosedPipeOS(err error) bool {
	const errorNoData = syscall.Errno(232)
	return errors.Is(err, syscall.ERROR_BROKEN_PIPE) || errors.Is(err, errorNoData)
}

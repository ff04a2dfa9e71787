package cli

import (
	"errors"
	"os/signal"
	"syscall"
)

// WritesToClosedPipeFail makes a write to a pipe that nobody reads return an error, where Go's default for stdout is to
// kill the process with SIGPIPE. Call it once, early in main.
func WritesToClosedPipeFail() { signal.Ignore(syscall.SIGPIPE) }

// isClosedPipe tells whether err comes from a write to a pipe whose reader is gone.
func isClosedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) || isClosedPipeOS(err) }

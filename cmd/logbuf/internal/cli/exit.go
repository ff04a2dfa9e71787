package cli

import (
	"errors"
	"fmt"
)

// The exit codes of logbuf. They are documented in `logbuf help exit-codes` and do not change.
const (
	ExitOK         = 0
	ExitTorn       = 1  // verify: the archive ends in a torn tail; other commands: the command failed
	ExitFailed     = 1  // anything that has no code of its own
	ExitCorrupt    = 2  // damage inside what was promised as durable
	ExitUnreadable = 3  // not an archive, no permission, an unknown version, an empty directory
	ExitLoss       = 4  // verify: records are missing that nobody was promised, or that no note says were removed on purpose
	ExitUsage      = 64 // the command line cannot be understood (EX_USAGE of sysexits.h)
)

// ExitError carries the code that the process ends with. A nil Err means that everything there is to say has been said:
// main prints nothing more.
type ExitError struct {
	Code int
	Err  error
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives Err to errors.Is and errors.As.
func (e *ExitError) Unwrap() error { return e.Err }

// Exit gives err the exit code. A nil err stays nil.
func Exit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Code: code, Err: err}
}

// Usagef makes an error about the command line: exit code 64.
func Usagef(format string, args ...any) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// ExitCode tells the code to end the process with after err: 0 for nil, the code of the outermost *ExitError, otherwise
// ExitFailed.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	var exit *ExitError
	if errors.As(err, &exit) {
		return exit.Code
	}
	return ExitFailed
}

package cli

import (
	"errors"
	"fmt"
	"testing"
)

func TestExitCode(t *testing.T) {
	plain := errors.New("plain")
	for _, test := range []struct {
		name string
		err  error
		want int
	}{
		{"nil", nil, ExitOK},
		{"no code of its own", plain, ExitFailed},
		{"with a code", Exit(ExitCorrupt, plain), ExitCorrupt},
		{"wrapped", fmt.Errorf("day1: %w", Exit(ExitUnreadable, plain)), ExitUnreadable},
		{"the outer one counts", Exit(ExitUsage, Exit(ExitCorrupt, plain)), ExitUsage},
		{"nothing to say", &ExitError{Code: ExitTorn}, ExitTorn},
		{"usage", Usagef("bad %d", 1), ExitUsage},
		{"no error has no code", Exit(ExitCorrupt, nil), ExitOK},
	} {
		if got := ExitCode(test.err); got != test.want {
			t.Errorf("%s: exit code %d, want %d", test.name, got, test.want)
		}
	}
	if err := Exit(ExitCorrupt, plain); !errors.Is(err, plain) || err.Error() != "plain" {
		t.Errorf("%v does not wrap %v", err, plain)
	}
}

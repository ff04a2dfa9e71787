package main

import (
	"fmt"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

// sayOn prints lines on a command's stderr, after its name.
func sayOn(cmd *cobra.Command) func(format string, args ...any) {
	return func(format string, args ...any) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", cmd.CommandPath(), fmt.Sprintf(format, args...))
	}
}

// warnGap says which records are missing where a reader goes on behind them: the first few of such places, before of which were told.
func warnGap(say func(format string, args ...any), before uint64, g journal.Gap) {
	const most = 20
	switch {
	case before < most:
		say("warning: %s: %s; %s", g.File, g.Reason, goneRange(g))
	case before == most:
		say("warning: more records are missing, in places that are not listed here")
	}
}

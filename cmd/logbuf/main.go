// Logbuf records byte feeds into checksummed archives, verifies them, reads them and replays them.
//
// Run `logbuf help` for the commands, or `logbuf demo` to see the whole path at work. The exit codes are listed by
// `logbuf help exit-codes`.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings as arguments, and gives the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	cli.WritesToClosedPipeFail()
	root := newRootCmd()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil || errors.Is(err, cli.ErrOutputClosed) {
		return cli.ExitOK // who closes the pipe has read enough: `logbuf cat DIR | head`
	}
	report(stderr, cmd.CommandPath(), err)
	return cli.ExitCode(err)
}

// report writes what went wrong, and for errors about the command line where to read on.
func report(stderr io.Writer, command string, err error) {
	var exit *cli.ExitError
	if errors.As(err, &exit) && exit.Err == nil {
		return
	}
	text := strings.TrimPrefix(err.Error(), "journal: ") // the library's name says nothing to who runs a command
	fmt.Fprintf(stderr, "%s: %s\n", command, text)
	if cli.ExitCode(err) == cli.ExitUsage {
		fmt.Fprintf(stderr, "Try '%s --help'.\n", command)
	}
}

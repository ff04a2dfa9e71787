package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/fixindex"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const fixLong = `Look at FIX sessions in an archive: list them, show messages by their MsgSeqNum, and
send them again to an engine that was down.

Record with 'logbuf record --frame fix', or from a Go program with package
adapter/fixbuf. The usual place is between two engines: point the one that connects
at logbuf, and logbuf at the other:

  logbuf record tcp-proxy://127.0.0.1:9001/exchange.example:9000 --frame fix --dir fix

A session is BeginString and the two CompIDs, the lower one first, whoever of the two
sends: FIX.4.4:BUYER-SELLER. What went wrong on the wire (a gap in MsgSeqNum, a
wrong CheckSum) and what the recording has lost are two different things here and are
counted apart. A message with PossDupFlag is a repetition and makes no gap.

Numbers are found by an index. It is derived from the archive and kept in its
subdirectory "index", which may be removed at any time; an archive that cannot be
written to is read in full each time.

Exit codes: 0 done, also after Ctrl-C; 1 failed; 2 corrupt; 3 unreadable; 64 usage.`

const fixExample = `  # who spoke, how much, and is anything missing?
  logbuf fix sessions fix
  logbuf fix sessions fix --gaps

  # messages 100 to 120 of BUYER, readable; then all Logons, on one line each
  logbuf fix show fix --session FIX.4.4:BUYER-SELLER --sender BUYER --from 100 --to 120
  logbuf fix show fix --type A --raw

  # BUYER's engine was down: be SELLER, and let it ask for what it has missed
  logbuf fix serve fix --listen 127.0.0.1:9001`

func newFixCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "fix",
		Short:   "List FIX sessions, find messages by MsgSeqNum, send them again",
		Long:    fixLong,
		Example: fixExample,
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFixSessionsCmd(), newFixShowCmd(), newFixResendCmd(), newFixServeCmd())
	return cmd
}

// fixArchive is an archive with its index.
type fixArchive struct {
	dir string
	*fixindex.Index
	say     func(format string, args ...any)
	damaged uint64 // places that could not be read, met once or more
	told    map[journal.Gap]bool
}

// fixOptions are the flags that all commands have.
type fixOptions struct {
	session string
	noIndex bool
}

func (o *fixOptions) addFlags(cmd *cobra.Command, session bool) {
	if session {
		cmd.Flags().StringVar(&o.session, "session", "", "`name` of the session; may be left out when there is one only")
		complete(cmd, "session", completeStream)
	}
	cmd.Flags().BoolVar(&o.noIndex, "no-index", false, "read the whole archive; neither use nor write index files")
}

func (o *fixOptions) open(ctx context.Context, cmd *cobra.Command, dir string) (*fixArchive, error) {
	a := &fixArchive{dir: dir, say: sayOn(cmd), told: map[journal.Gap]bool{}}
	status := cli.NewStatus(cmd.ErrOrStderr())
	defer status.Clear()
	x, err := fixindex.Open(ctx, dir, &fixindex.Options{
		NoCache: o.noIndex,
		Damaged: a.gap,
		Read: func(segment string) {
			if status.Active() {
				status.Set("indexing %s", segment)
			}
		},
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, readError(dir, err)
	}
	a.Index = x
	return a, nil
}

// gap says that records cannot be read.
func (a *fixArchive) gap(g journal.Gap) {
	if g.Trimmed || g.Declared || a.told[g] {
		return
	}
	warnGap(a.say, a.damaged, g)
	a.damaged++
	a.told[g] = true
}

// result is how a command ends that has done what it could.
func (a *fixArchive) result(err error) error {
	if err != nil || a.damaged == 0 {
		return err
	}
	return cli.Exit(cli.ExitCorrupt, fmt.Errorf("%s is damaged, and what is gone is not counted here: logbuf verify %s says what", a.dir, shellWord(a.dir)))
}

// choose finds the session that is meant.
func (a *fixArchive) choose(name string) (string, error) {
	names := a.Names()
	switch {
	case name != "" && a.Session(name) != nil:
		return name, nil
	case len(names) == 0:
		return "", fmt.Errorf("%s has no FIX messages: they are recorded with logbuf record --frame fix", a.dir)
	case name != "":
		return "", fmt.Errorf("no session is named %q; there are: %s", name, strings.Join(names, " "))
	case len(names) > 1:
		return "", cli.Usagef("there are %d sessions: give one with --session: %s", len(names), few(names))
	}
	return names[0], nil
}

// few is the first names of a list that may be long.
func few(names []string) string {
	const most = 10
	if len(names) > most {
		return strings.Join(names[:most], " ") + " … (logbuf fix sessions lists them)"
	}
	return strings.Join(names, " ")
}

// side finds the side with that CompID; −1 for none given.
func (a *fixArchive) side(session, compID string) (int, error) {
	if compID == "" {
		return -1, nil
	}
	id := a.Session(session).Identity
	for side := range 2 {
		if id.CompID(side) == compID {
			return side, nil
		}
	}
	return 0, fmt.Errorf("session %s has no side with the CompID %q: it is between %q and %q", session, compID, id.Low, id.High)
}

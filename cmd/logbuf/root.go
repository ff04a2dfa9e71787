package main

import (
	"fmt"
	"strings"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/spf13/cobra"
)

const rootLong = `logbuf gets bytes off a hot path, keeps them safely, proves what was lost, and
replays them from anywhere at any speed.

An archive is a directory of checksummed segments. 'record' writes one; the other
commands read one, also while it is being written, or look after one. Data goes to stdout,
everything else to stderr.

Exit codes: 0 all is well, 1 failed (verify: torn tail), 2 corrupt archive,
3 unreadable archive, 4 loss, 64 usage. More: logbuf help exit-codes`

const rootExample = `  # see the whole path at work: feed, record, verify, replay, compare
  logbuf demo

  # record two feeds, then look at what came in
  logbuf record wss://feed.example/a wss://feed.example/b --dir day1
  logbuf stat day1
  logbuf tail day1 -n 20

  # is it intact?
  logbuf verify day1`

const (
	groupWrite = "write"
	groupRead  = "read"
	groupKeep  = "keep"
)

// newRootCmd makes the whole command tree, anew for each call.
func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:           "logbuf",
		Short:         "Record, verify, read and replay byte feeds",
		Long:          rootLong,
		Example:       rootExample,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usagef("%w", err) })
	root.AddGroup(
		&cobra.Group{ID: groupWrite, Title: "Recording:"},
		&cobra.Group{ID: groupRead, Title: "Reading an archive:"},
		&cobra.Group{ID: groupKeep, Title: "Looking after an archive:"},
	)
	addGroup(root, groupWrite, newDemoCmd(), newRecordCmd(), newFeedCmd(), newBenchDiskCmd())
	addGroup(root, groupRead, newCatCmd(), newTailCmd(), newStatCmd(), newVerifyCmd(), newReplayCmd(), newExportCmd(), newGrepCmd(), newDiffCmd(), newFixCmd())
	addGroup(root, groupKeep, newRepairCmd(), newSalvageCmd(), newTrimCmd(), newCompactCmd(), newBackupCmd(), newCursorCmd())
	root.AddCommand(newVersionCmd(), newExitCodesTopic(), newFormatsTopic(), newConfigTopic())
	return root
}

func addGroup(root *cobra.Command, group string, cmds ...*cobra.Command) {
	for _, cmd := range cmds {
		cmd.GroupID = group
		root.AddCommand(cmd)
	}
}

// knownCommand refuses what is not a command, with the names that are near.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2 // as cobra has it, which sets it only where it looks itself
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return cli.Usagef("unknown command %q%s", args[0], hint)
}

// oneDir is the argument rule of the commands that read one archive.
func oneDir(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return cli.Usagef("needs the archive's directory as its argument")
	case len(args) > 1:
		return cli.Usagef("takes one directory, got %d arguments: %s", len(args), strings.Join(args, " "))
	case args[0] == "":
		return cli.Usagef("the directory's name is empty")
	}
	return nil
}

// noArgs is the argument rule of the commands that take none.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("takes no arguments, got %q", args[0])
	}
	return nil
}

// completeDir completes the directory argument, and nothing after it.
func completeDir(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

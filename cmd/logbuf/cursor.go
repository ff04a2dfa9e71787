package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const cursorLong = `List, set and remove the named cursors of an archive.

A cursor is a place that a reader keeps in the archive: the next record it wants. Nothing
that a cursor still wants is removed, whatever the limits of a recording or of trim say. A
hold is a cursor that stays where it is until it is removed.

A cursor that nobody moves on keeps everything behind it: remove it when its reader is
gone. A writer may be active.`

func newCursorCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cursor",
		Short: "List, set and remove named places that hold records back",
		Long:  cursorLong,
		Example: `  logbuf cursor list day1
  logbuf cursor set day1 billing 120000
  logbuf cursor set day1 audit-2026 first --hold
  logbuf cursor remove day1 audit-2026`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCursorListCmd(), newCursorSetCmd(), newCursorRemoveCmd())
	return cmd
}

func newCursorListCmd() *cobra.Command {
	var utc bool
	cmd := &cobra.Command{
		Use:               "list DIR",
		Short:             "List the cursors of an archive",
		Long:              "List the cursors of an archive: where each is, how many records are behind it, when it was\nsaved last. Exit code 2 when one cannot be read: nothing is trimmed until it is set anew or\nremoved.",
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := journal.Cursors(args[0], nil)
			if err != nil {
				return workError(args[0], err)
			}
			_, next, err := archiveSpan(args[0])
			if err != nil {
				return workError(args[0], err)
			}
			printCursors(cmd.OutOrStdout(), list, next, zoned(utc))
			for _, c := range list {
				if c.Err != nil {
					return cli.Exit(cli.ExitCorrupt, c.Err)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&utc, "utc", false, "times in UTC, not in local time")
	return cmd
}

func printCursors(w io.Writer, list []journal.CursorInfo, next uint64, at func(int64) string) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no cursors")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSEQUENCE\tBEHIND\tSAVED\tKIND")
	for _, c := range list {
		if c.Err != nil {
			fmt.Fprintf(t, "%s\t?\t?\t?\tcannot be read\n", c.Name)
			continue
		}
		kind := "cursor"
		if c.Hold {
			kind = "hold"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", c.Name, c.Seq, cli.Count(next-min(c.Seq, next)), at(c.Saved), kind)
	}
	_ = t.Flush() // stdout's error is met by the process
}

// archiveSpan returns the first sequence of an archive and the one after its last.
func archiveSpan(dir string) (first, next uint64, err error) {
	infos, err := journal.Segments(dir, nil)
	if err != nil || len(infos) == 0 {
		return 0, 0, err
	}
	return infos[0].FirstSeq, infos[len(infos)-1].NextSeq, nil
}

func newCursorSetCmd() *cobra.Command {
	var hold bool
	cmd := &cobra.Command{
		Use:   "set DIR NAME SEQUENCE|first|end",
		Short: "Make a cursor, or move one",
		Long: `Make a cursor, or move the one that has the name, also one that cannot be read. SEQUENCE is
the number of the next record that is wanted; what is below it may be removed. A hold cannot
be moved: remove it first.`,
		Example: `  logbuf cursor set day1 billing 120000
  logbuf cursor set day1 audit-2026 first --hold`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 3 {
				return cli.Usagef("needs the archive's directory, the cursor's name, and a sequence, first or end")
			}
			return nil
		},
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return setCursor(cmd, args[0], args[1], args[2], hold)
		},
	}
	cmd.Flags().BoolVar(&hold, "hold", false, "it stays there until it is removed")
	return cmd
}

func setCursor(cmd *cobra.Command, dir, name, where string, hold bool) error {
	list, err := journal.Cursors(dir, nil)
	if err != nil {
		return workError(dir, err)
	}
	for _, c := range list {
		if c.Name == name && c.Hold && c.Err == nil {
			return fmt.Errorf("%s is a hold at %d: remove it first, with 'logbuf cursor remove %s %s'", name, c.Seq, shellWord(dir), name)
		}
	}
	first, next, err := archiveSpan(dir)
	if err != nil {
		return workError(dir, err)
	}
	seq := first
	switch where {
	case "first":
	case "end":
		seq = next
	default:
		if seq, err = strconv.ParseUint(where, 10, 63); err != nil {
			return cli.Usagef("%q is no sequence: write the number of a record, first or end", where)
		}
	}
	c, err := journal.OpenCursor(dir, name, &journal.CursorOptions{Seq: seq, Hold: hold, Reset: true})
	if err != nil {
		return workError(dir, err)
	}
	if at := c.Seq(); at != seq {
		sayOn(cmd)("the archive begins at %d: %s is set to that", at, name)
	}
	return nil
}

func newCursorRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "remove DIR NAME",
		Short: "Remove a cursor or a hold",
		Long:  "Remove a cursor or a hold, also one that cannot be read. It keeps nothing any more: the next trim, or\nthe recording itself, may remove what it wanted.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return cli.Usagef("needs the archive's directory and the cursor's name")
			}
			return nil
		},
		ValidArgsFunction: completeDir,
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := journal.Cursors(args[0], nil)
			if err != nil {
				return workError(args[0], err)
			}
			for _, c := range list {
				if c.Name != args[1] {
					continue
				}
				cur, err := journal.OpenCursor(args[0], c.Name, &journal.CursorOptions{Seq: c.Seq, Hold: c.Hold, Reset: c.Err != nil})
				if err != nil {
					return workError(args[0], err)
				}
				return cur.Remove()
			}
			return fmt.Errorf("%s has no cursor %q", args[0], args[1])
		},
	}
}

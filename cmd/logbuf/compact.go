package main

import (
	"fmt"
	"io"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const compactLong = `Compress the finished segments of an archive with zstd. Records, their numbers and times
stay as they are, and every command reads compressed segments as it reads others: blocks
of up to 256 KiB are compressed one by one, so finding a record stays fast.

Each segment is written to a new file, which is synced, read back and compared record by
record before it takes the old one's place. Interrupt it when you like, and run it again.
A segment that is damaged is left as it is; see verify and salvage.

The archive must be at rest. A running recording compresses what it has finished with
logbuf record --compress. It takes as much free space as the largest segment does.

Exit codes: 0 done, 1 failed or interrupted, or a writer has the archive open;
3 unreadable, 64 usage.`

const compactExample = `  logbuf compact day1

  # how much smaller?
  logbuf stat day1; logbuf compact day1; logbuf stat day1`

func newCompactCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "compact DIR",
		Short:             "Compress the finished segments of an archive",
		Long:              compactLong,
		Example:           compactExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			w := newWork(cmd)
			rep, err := journal.Compact(args[0], &journal.CompactOptions{Stop: w.ctx.Done(), Progress: w.progress("compressing")})
			w.end()
			if rep != nil {
				printCompact(cmd.OutOrStdout(), args[0], rep)
			}
			return workError(args[0], err)
		},
	}
}

func printCompact(w io.Writer, dir string, r *journal.CompactReport) {
	if r.Segments > 0 {
		fmt.Fprintf(w, "%s: compressed %s, %s to %s: %.1f times smaller\n", dir, cli.Plural(r.Segments, "segment"), cli.Bytes(r.Before), cli.Bytes(r.After), r.Ratio())
	} else {
		fmt.Fprintf(w, "%s: nothing to compress\n", dir)
	}
	if r.Compressed > 0 {
		fmt.Fprintf(w, "  compressed before: %s\n", cli.Plural(r.Compressed, "segment"))
	}
	for _, g := range r.Skipped {
		fmt.Fprintf(w, "  left as it is: %s: %s\n", g.File, g.Reason)
	}
}

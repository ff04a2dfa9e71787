package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const backupLong = `Copy an archive to another directory, also while it is being written, and later copy only
what has come since. The copy is an archive: every command reads it.

Of an archive that is being written, what is durable is copied: the backup never has a
record that a power cut could still take from the source. Every block is checked on the
way, and read back from the copy.

At every moment the destination is a valid archive. Interrupt it when you like: the next
run goes on. Segments that are trimmed from the source stay in the backup; trim it by
itself. Cursors are not copied.

A backup is not to be written to: after 'record' or another writer has had it open it is
an archive of its own, and backup refuses it. A plain copy (cp -r) of an archive at rest
is an archive, too.

Exit codes: 0 copied; 1 failed or interrupted, or the destination is no copy of the
source; 2 the source is corrupt: what is before the damage is copied; 3 unreadable;
64 usage.`

const backupExample = `  # every night, from cron, while the recording runs
  logbuf backup day1 /mnt/backup/day1

  # and read all of the backup again
  logbuf backup day1 /mnt/backup/day1 --verify

  # keep the source from being trimmed until the first backup is through
  logbuf cursor set day1 first-backup first --hold
  logbuf backup day1 /mnt/backup/day1
  logbuf cursor remove day1 first-backup`

func newBackupCmd() *cobra.Command {
	var verify bool
	cmd := &cobra.Command{
		Use:     "backup SRC DST",
		Short:   "Copy an archive, also while it is being written",
		Long:    backupLong,
		Example: backupExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] == "" || args[1] == "" {
				return cli.Usagef("needs two directories: the archive's and the backup's")
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			w := newWork(cmd)
			rep, err := journal.Backup(args[0], args[1], &journal.BackupOptions{Verify: verify, Stop: w.ctx.Done(), Progress: w.progress("copying")})
			w.end()
			if c, ok := errors.AsType[*journal.CorruptionError](err); ok {
				return cli.Exit(cli.ExitCorrupt, fmt.Errorf("%s is corrupt at offset %d: %s\nNothing behind that is copied; what %s has is whole. What is lost: logbuf verify %s",
					filepath.Join(args[0], c.File), c.Offset, c.Reason, args[1], shellWord(args[0])))
			}
			if err != nil {
				return workError(args[0], err)
			}
			printBackup(cmd.OutOrStdout(), args[1], rep)
			return nil
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", false, "read the whole backup again at the end, what was there before included")
	return cmd
}

func printBackup(w io.Writer, dst string, r *journal.BackupReport) {
	copied := "nothing new"
	if r.Segments > 0 {
		copied = fmt.Sprintf("copied %s, %s", cli.Plural(r.Segments, "segment"), cli.Bytes(r.Bytes))
	}
	fmt.Fprintf(w, "%s: %s; it has %s\n", dst, copied, recordSpan(r.FirstSeq, r.NextSeq))
	if r.Live {
		fmt.Fprintln(w, "  the source is being written: this is what was durable")
	}
}

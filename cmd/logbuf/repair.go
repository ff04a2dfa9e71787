package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const repairLong = `Put the end of an archive in order after a crash, as the next 'record' would, without
recording anything. A torn tail (bytes that were never promised as durable) is copied
to a .torn file beside its segment and cut; a segment that never became whole is
renamed to .torn; a footer is written where one is missing. Nothing is deleted.

Only the end is looked at: 'logbuf verify' checks the rest. Damage there to bytes that
were promised is not repaired: the command refuses and changes nothing. 'logbuf
salvage' reads past it and copies what is left.

An interruption at any point does no harm: run it again. A second run finds nothing to
do.

Exit codes: 0 in order now (with --dry-run: can be put in order); 1 another writer has
the archive open, or the disk failed; 2 corrupt, nothing changed; 3 unreadable; 64 usage.`

const repairExample = `  # what would be done?
  logbuf repair day1 --dry-run

  logbuf repair day1

  # in a script: only what is whole goes to the backup
  logbuf repair day1 && logbuf verify day1 && rsync -a day1/ backup/day1/`

func newRepairCmd() *cobra.Command {
	var dry, asJSON bool
	cmd := &cobra.Command{
		Use:               "repair DIR",
		Short:             "Put an archive's end in order after a crash",
		Long:              repairLong,
		Example:           repairExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			rep, err := journal.Repair(args[0], &journal.RepairOptions{DryRun: dry})
			if err != nil {
				return repairError(args[0], err)
			}
			return printRepair(cmd.OutOrStdout(), args[0], rep, dry, asJSON)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "change nothing, and say what would be done")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// repairError gives an error of Repair its exit code, and says what to do.
func repairError(dir string, err error) error {
	var corrupt *journal.CorruptionError
	switch {
	case errors.As(err, &corrupt):
		return cli.Exit(cli.ExitCorrupt, fmt.Errorf("%w\nTo copy what can be read: logbuf salvage %s --out NEW", err, shellWord(dir)))
	case errors.Is(err, journal.ErrLocked):
		return cli.Exit(cli.ExitFailed, err)
	case errors.Is(err, journal.ErrNotArchive), errors.Is(err, journal.ErrVersion):
		return readError(dir, err)
	}
	return err
}

// repairJSON is what `repair --json` prints. Fields are stable; new ones may be added.
type repairJSON struct {
	Dir       string  `json:"dir"`
	DryRun    bool    `json:"dry_run"`
	Verdict   string  `json:"verdict"` // as found: clean, torn, loss
	Unclean   bool    `json:"unclean"` // the last writer did not close the archive
	Segments  int     `json:"segments"`
	NextSeq   uint64  `json:"next_seq"`
	TornFile  string  `json:"torn_file,omitempty"`
	TornBytes int64   `json:"torn_bytes"`
	LossFirst *uint64 `json:"loss_first,omitempty"`
	LossLast  *uint64 `json:"loss_last,omitempty"`
}

func printRepair(w io.Writer, dir string, r *journal.Recovery, dry, asJSON bool) error {
	out := cli.NewOutput(w)
	lost := r.Verdict == journal.Lossy && r.LossLast+1 > r.LossFirst
	if asJSON {
		j := repairJSON{
			Dir: dir, DryRun: dry, Verdict: r.Verdict.String(), Unclean: r.Unclean, Segments: r.Segments, NextSeq: r.NextSeq,
			TornFile: r.TornFile, TornBytes: r.TornBytes,
		}
		if lost {
			j.LossFirst, j.LossLast = &r.LossFirst, &r.LossLast
		}
		if err := json.NewEncoder(out).Encode(j); err != nil {
			return err
		}
		return out.Flush()
	}
	be := func(now string) string { // is, are, or what they would be
		if dry {
			return "would be"
		}
		return now
	}
	fmt.Fprintf(out, "%s: the end is %v as found; the next record is %d\n", dir, r.Verdict, r.NextSeq)
	if r.TornFile != "" {
		fmt.Fprintf(out, "  %s %s set aside in %s: they were never promised\n", cli.Plural(r.TornBytes, "byte"), be("are"), r.TornFile)
	}
	if r.Unclean {
		fmt.Fprintf(out, "  the last segment %s sealed\n", be("is"))
	}
	if lost {
		fmt.Fprintf(out, "  a power cut took records before they were durable: %s\n", lostRange(r.LossFirst, r.LossLast))
	}
	if r.TornFile == "" && !r.Unclean {
		fmt.Fprintln(out, "  nothing to do")
	}
	return out.Flush()
}

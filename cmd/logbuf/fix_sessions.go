package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/fixindex"
	"github.com/spf13/cobra"
)

const fixSessionsLong = `List the FIX sessions of an archive: a line for each sender.

  MESSAGES  with the right CheckSum, repetitions included
  SEQNUM    lowest and highest MsgSeqNum since the numbers last began anew
  GAPS      times that numbers were left out on the wire, and how many numbers;
            --gaps lists them. They may have come later, as repetitions
  RESETS    times that the numbers began anew: a new day, or SequenceReset
  REPEATED  messages with PossDupFlag
  DIR       in: received by who recorded, out: sent

Below the table: what the recording has lost, messages with a wrong CheckSum, and bytes
that were no message, as far as there were any. The latter two are in the archive:
'logbuf cat DIR --stream SESSION' shows them as user-32 and user-33.`

func newFixSessionsCmd() *cobra.Command {
	var o fixOptions
	var gaps, asJSON, utc bool
	cmd := &cobra.Command{
		Use:               "sessions DIR",
		Short:             "List the sessions of an archive",
		Long:              fixSessionsLong,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := readContext(cmd)
			defer stop()
			a, err := o.open(ctx, cmd, args[0])
			if err != nil {
				return interruptIsFine(err)
			}
			if asJSON {
				return a.result(a.sessionsJSON(cmd.OutOrStdout()))
			}
			a.sessionsText(cmd.OutOrStdout(), gaps, zoned(utc))
			return a.result(nil)
		},
	}
	o.addFlags(cmd, false)
	cmd.Flags().BoolVar(&gaps, "gaps", false, "list the gaps in MsgSeqNum, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a line of JSON for each session, with its gaps")
	cmd.Flags().BoolVar(&utc, "utc", false, "times in UTC, not in local time")
	return cmd
}

func (a *fixArchive) sessionsText(w io.Writer, gaps bool, at func(int64) string) {
	if len(a.Sessions) == 0 {
		fmt.Fprintf(w, "%s has no FIX messages\n", a.dir)
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SESSION\tSENDER\tDIR\tMESSAGES\tSEQNUM\tGAPS\tRESETS\tREPEATED\tFIRST\tLAST")
	for i, name := range a.Names() {
		s := &a.Sessions[i]
		for side, q := range s.Seq {
			if q.Messages == 0 {
				continue
			}
			days := a.Days(name, side)
			from, to := uint64(0), uint64(0)
			if len(days) > 0 {
				from, to = days[len(days)-1].From, days[len(days)-1].To
			}
			missing := "0"
			if q.Gaps > 0 {
				missing = fmt.Sprintf("%d (%d)", q.Gaps, q.Missing)
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d-%d\t%s\t%d\t%d\t%s\t%s\n", safeText(name), safeText(s.Identity.CompID(side)), direction(s, side),
				cli.Count(q.Messages), from, to, missing, q.Resets, q.PossDups, at(s.First), at(s.Last))
		}
	}
	tw.Flush()
	for i, name := range a.Names() {
		a.troubles(w, name, &a.Sessions[i])
	}
	if gaps {
		for _, g := range a.Gaps {
			fmt.Fprintf(w, "%s: %s: MsgSeqNum %s missing before record %d, %s\n", safeText(g.Session), safeText(a.Session(g.Session).Identity.CompID(g.Side)),
				g.Missing, g.Before, at(g.Time))
		}
	}
}

// troubles says what a session has lost, and what was wrong with its bytes.
func (a *fixArchive) troubles(w io.Writer, name string, s *fixindex.Session) {
	name = safeText(name)
	if s.Lost > 0 || s.LossGaps > 0 {
		fmt.Fprintf(w, "%s: the recording lost %s (%s) and %s of unknown size\n", name, cli.Plural(s.Lost, "record"), cli.Bytes(s.LostBytes), cli.Plural(s.LossGaps, "gap"))
	}
	if s.BadSum > 0 {
		fmt.Fprintf(w, "%s: %s with a wrong CheckSum\n", name, cli.Plural(s.BadSum, "message"))
	}
	if s.Malformed > 0 {
		fmt.Fprintf(w, "%s: %s without MsgSeqNum or CompIDs\n", name, cli.Plural(s.Malformed, "message"))
	}
	if s.Skipped > 0 {
		fmt.Fprintf(w, "%s: %s that are no message\n", name, cli.Plural(s.Skipped, "byte"))
	}
	for side, q := range s.Seq {
		if q.TooLow > 0 {
			fmt.Fprintf(w, "%s: %s: %s with a MsgSeqNum that was used already and no PossDupFlag\n", name, safeText(s.Identity.CompID(side)), cli.Plural(q.TooLow, "message"))
		}
	}
}

// direction is where a side's messages went, seen from who recorded.
func direction(s *fixindex.Session, side int) string {
	switch {
	case s.Out[side] == 0:
		return "in"
	case s.In[side] == 0:
		return "out"
	}
	return "both"
}

// fixSessionJSON is a line of `fix sessions --json`. The fields are stable; new ones may be added.
type fixSessionJSON struct {
	Session     string          `json:"session"`
	BeginString string          `json:"begin_string"`
	Senders     []fixSenderJSON `json:"senders"`
	FirstTime   string          `json:"first_time,omitempty"`
	LastTime    string          `json:"last_time,omitempty"`
	LostRecords uint64          `json:"lost_records"`
	LostBytes   uint64          `json:"lost_bytes"`
	LossGaps    uint64          `json:"loss_gaps"`
	BadSum      uint64          `json:"bad_checksum"`
	Malformed   uint64          `json:"malformed"`
	Skipped     uint64          `json:"skipped_bytes"`
}

type fixSenderJSON struct {
	CompID   string       `json:"comp_id"`
	Messages uint64       `json:"messages"`
	In       uint64       `json:"in"`
	Out      uint64       `json:"out"`
	Repeated uint64       `json:"repeated"`
	Resets   uint64       `json:"resets"`
	TooLow   uint64       `json:"too_low"`
	Missing  uint64       `json:"missing"`
	NextSeq  uint64       `json:"next_seq_num"`
	Ranges   []fixRange   `json:"ranges"` // one for each time that the numbers began anew
	Gaps     []fixGapJSON `json:"gaps"`
}

type fixRange struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

type fixGapJSON struct {
	fixRange
	BeforeSeq uint64 `json:"before_seq"`
	Time      string `json:"time"`
}

func (a *fixArchive) sessionsJSON(w io.Writer) error {
	at := zoned(true)
	enc := json.NewEncoder(w)
	for i, name := range a.Names() {
		s := &a.Sessions[i]
		j := fixSessionJSON{Session: name, BeginString: s.Identity.BeginString, FirstTime: at(s.First), LastTime: at(s.Last),
			LostRecords: s.Lost, LostBytes: s.LostBytes, LossGaps: s.LossGaps, BadSum: s.BadSum, Malformed: s.Malformed, Skipped: s.Skipped}
		for side, q := range s.Seq {
			o := fixSenderJSON{CompID: s.Identity.CompID(side), Messages: q.Messages, In: s.In[side], Out: s.Out[side], Repeated: q.PossDups,
				Resets: q.Resets, TooLow: q.TooLow, Missing: q.Missing, NextSeq: q.Next, Gaps: []fixGapJSON{}, Ranges: []fixRange{}}
			for _, d := range a.Days(name, side) {
				o.Ranges = append(o.Ranges, fixRange{d.From, d.To})
			}
			for _, g := range a.Gaps {
				if g.Session == name && g.Side == side {
					o.Gaps = append(o.Gaps, fixGapJSON{fixRange{g.Missing.From, g.Missing.To}, g.Before, at(g.Time)})
				}
			}
			j.Senders = append(j.Senders, o)
		}
		if err := enc.Encode(j); err != nil {
			return err
		}
	}
	return nil
}

// safeText is text from outside as it may go to a terminal.
func safeText(s string) string { return string(appendSafe(nil, []byte(s))) }

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/config"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// printPlan prints what would be recorded, without secrets.
func printPlan(w io.Writer, cfg *capture.Config) error {
	out := cli.NewOutput(w)
	fmt.Fprintf(out, "in order: %s into %s\n", cli.Plural(len(cfg.Sources), "source"), cfg.Dir)
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range planOfArchive(cfg) {
		fmt.Fprintf(tw, "  %s\t%s\n", line[0], line[1])
	}
	tw.Flush()
	fmt.Fprintln(out)
	fmt.Fprintln(tw, "STREAM\tSOURCE\tRING\tWHEN FULL\tRECORDS\tRECONNECT\tIDLE\tHEADERS\tSENDS")
	for i := range cfg.Sources {
		fmt.Fprintln(tw, strings.Join(planOfSource(&cfg.Sources[i]), "\t"))
	}
	tw.Flush()
	return out.Flush()
}

func planOfArchive(cfg *capture.Config) [][2]string {
	j := &cfg.Journal
	archive := "will be made"
	if exists, _ := config.Directory(cfg.Dir); exists {
		archive = "the directory is there; an archive in it goes on"
	}
	durable := "by " + j.Sync.String()
	switch {
	case j.Sync == journal.SyncInterval && j.SyncEvery > 0:
		durable += ", every " + cli.Duration(j.SyncEvery).String()
	case j.Sync == journal.SyncNone:
		durable = "at the end of each segment, and of the recording"
	}
	segments := cli.Bytes(j.SegmentSize) + " each"
	if j.Compress {
		segments += ", compressed when finished"
	}
	keep := "everything"
	if j.Retention != (journal.Retention{}) {
		var limits []string
		if j.Retention.MaxBytes > 0 {
			limits = append(limits, cli.Bytes(j.Retention.MaxBytes))
		}
		if j.Retention.MaxAge > 0 {
			limits = append(limits, days(j.Retention.MaxAge))
		}
		keep = "at most " + strings.Join(limits, " and ")
	}
	fails := "the recording ends"
	if j.Retain > 0 {
		fails = cli.Bytes(j.Retain) + " in memory are written again"
	}
	if j.Failover != "" {
		fails += ", in " + j.Failover + " if need be"
	}
	full := "waits for space"
	if j.Reserve > 0 {
		full = cli.Bytes(j.Reserve) + " in reserve, then " + full
	}
	end := "when the sources have ended, or at a signal"
	if cfg.For > 0 {
		end = "after " + cli.Duration(cfg.For).String()
	}
	rings, sessions := cfg.Rings()
	memory := cli.Bytes(rings) + " of rings"
	if sessions > 0 {
		memory += fmt.Sprintf(", and of up to %s for FIX sessions, as they come", cli.Bytes(sessions))
	}
	if cfg.Forwards() {
		fails += "; a proxy goes on forwarding"
	}
	plan := [][2]string{
		{"archive", archive}, {"durable", durable}, {"segments", segments}, {"keep", keep}, {"disk fails", fails},
		{"disk full", full}, {"ends", end}, {"memory", memory},
	}
	if cfg.Metrics != "" {
		plan = append(plan, [2]string{"metrics", "at http://" + cfg.Metrics + "/"})
	}
	return plan
}

// planOfSource is the columns of a source.
func planOfSource(s *capture.Source) []string {
	orDash := func(text string) string {
		if text == "" {
			return "-"
		}
		return text
	}
	records, headers, sends := s.Options.Frame.String(), "", ""
	if s.Kind == source.WebSocket {
		records = "frames"
		if s.Options.MaxFrame > 0 {
			records += " to " + cli.Bytes(s.Options.MaxFrame)
		}
		if s.Options.Outbound {
			records += ", sent ones too"
		}
		switch s.Options.Deflate {
		case wsbuf.DeflateRaw:
			records += ", compressed ones as they come"
		case wsbuf.DeflateInflate:
			records += ", compressed ones inflated"
		}
		headers = strings.Join(slices.Sorted(maps.Keys(s.Options.Header)), ", ")
		if n := len(s.Options.Subscribe); n > 0 {
			sends = cli.Plural(n, "message")
		}
	}
	reconnect, idle, full := "", "", recorder.OverloadWait
	if s.Live() {
		full = recorder.OverloadDrop
		if !s.Accepts() {
			reconnect = s.Options.Reconnect.String()
		}
		if s.Options.IdleTimeout > 0 {
			idle = cli.Duration(s.Options.IdleTimeout).String()
		}
	}
	if s.Overload != nil {
		full = *s.Overload
	}
	whenFull := full.String()
	if s.Urgent {
		whenFull += ", urgent"
	}
	name := s.Name
	if source.BySession(s.Spec, &s.Options) {
		name = "(its sessions)"
	}
	return []string{
		name, s.Spec.String(), cli.Bytes(s.Ring), whenFull, records, orDash(reconnect), orDash(idle), orDash(headers), orDash(sends),
	}
}

// days writes whole days as such: "30d".
func days(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return cli.Duration(d).String()
}

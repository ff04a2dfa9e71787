package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

// A printer writes one record in a format. Control records are given to it too; raw leaves them out.
type printer interface {
	print(w io.Writer, rec journal.Record) error
}

// format is the value of --format.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
	formatHex  format = "hex"
	formatRaw  format = "raw"
)

var formats = []format{formatText, formatJSON, formatHex, formatRaw}

// Set implements pflag.Value.
func (f *format) Set(text string) error {
	for _, known := range formats {
		if text == string(known) {
			*f = known
			return nil
		}
	}
	return fmt.Errorf("%q is not a format: write text, json, hex or raw", text)
}

// String implements pflag.Value.
func (f *format) String() string { return string(*f) }

// Type implements pflag.Value.
func (*format) Type() string { return "format" }

// printing is how a command prints records: the flags --format and --utc.
type printing struct {
	format format
	utc    bool
}

func (p *printing) addFlags(cmd *cobra.Command, byDefault format) {
	p.format = byDefault
	cmd.Flags().VarP(&p.format, "format", "o", "`format` of the output: text, json, hex or raw (see 'logbuf help formats')")
	cmd.Flags().BoolVar(&p.utc, "utc", false, "times in UTC in text and hex (json always is), not in local time")
	complete(cmd, "format", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"text", "json", "hex", "raw"}, cobra.ShellCompDirectiveNoFileComp
	})
}

// control tells whether the format shows control records.
func (p *printing) control() bool { return p.format != formatRaw }

func (p *printing) printer(names *streamNames) printer {
	zone := time.Local
	if p.utc {
		zone = time.UTC
	}
	switch p.format {
	case formatJSON:
		return &jsonPrinter{names: names}
	case formatHex:
		return &hexPrinter{line: newLine(names, zone)}
	case formatRaw:
		return rawPrinter{}
	}
	return &textPrinter{line: newLine(names, zone)}
}

// rawPrinter writes payloads of data records and nothing else.
type rawPrinter struct{}

func (rawPrinter) print(w io.Writer, rec journal.Record) error {
	if isControl(rec) {
		return nil
	}
	_, err := w.Write(rec.Payload)
	return err
}

// complete registers a completion; the flag must exist.
func complete(cmd *cobra.Command, flag string, fn cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, fn); err != nil {
		panic(fmt.Sprintf("completion of --%s of %s: %v", flag, cmd.Name(), err))
	}
}

// describeControl says in words what a control record says.
func describeControl(rec journal.Record, at func(ns int64) string) string {
	switch rec.Kind {
	case journal.KindStream:
		name, _, err := journal.ParseStream(rec.Payload)
		if err != nil {
			return unreadable(rec, err)
		}
		return fmt.Sprintf("stream %d is %q", rec.Stream, name)
	case journal.KindLoss:
		loss, err := journal.ParseLoss(rec.Payload)
		if err != nil {
			return unreadable(rec, err)
		}
		return describeLoss(loss, at)
	case journal.KindClock:
		step, err := journal.ParseClock(rec.Payload)
		if err != nil {
			return unreadable(rec, err)
		}
		return fmt.Sprintf("the clock was stepped from %s to %s", at(step.Before), at(step.After))
	case journal.KindMark:
		return "mark: " + string(appendPayload(nil, afterVersion(rec.Payload)))
	case journal.KindClose:
		return "closed in good order"
	case journal.KindOpen:
		epoch, err := journal.ParseOpen(rec.Payload)
		if err != nil {
			return unreadable(rec, err)
		}
		return fmt.Sprintf("opened for writing, epoch %d", epoch)
	}
	return fmt.Sprintf("control record of kind %#x, %s, not known to this version", rec.Kind, cli.Plural(len(rec.Payload), "byte"))
}

// afterVersion skips the version byte that the payload of every control record begins with.
func afterVersion(payload []byte) []byte { return payload[min(1, len(payload)):] }

func describeLoss(l journal.Loss, at func(ns int64) string) string {
	var b strings.Builder
	if l.Records == 0 {
		fmt.Fprintf(&b, "lost an unknown number of records")
	} else {
		fmt.Fprintf(&b, "lost %s, %s", cli.Plural(l.Records, "record"), cli.Plural(l.Bytes, "byte"))
	}
	fmt.Fprintf(&b, " (%v)", l.Reason)
	if l.Records > 0 {
		of := " of the stream"
		if l.Reason == journal.LossDamage {
			of = "" // sequences: of which streams they were, nobody knows
		}
		fmt.Fprintf(&b, ", number %d to %d%s", l.First, l.First+l.Records-1, of)
	}
	fmt.Fprintf(&b, ", from %s to %s", at(l.From), at(l.To))
	return b.String()
}

func unreadable(rec journal.Record, err error) string {
	return fmt.Sprintf("%s that cannot be read: %v", kindName(rec), err)
}

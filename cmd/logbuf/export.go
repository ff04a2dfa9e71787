package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/export"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const exportLong = `Write the records of an archive in a format of other programs.

jsonl    One JSON object per line, as 'cat --format json' prints them: see
         'logbuf help formats'.

csv      RFC 4180: CRLF ends a line, fields are quoted where they have to be and
         their bytes unchanged. The first line names the columns: seq, time (RFC
         3339, UTC), unix_ns, stream, stream_id, kind (data, user-N, loss, gap or
         mark), code (WebSocket opcode), opcode (its name), final, outbound,
         compressed, truncated, size (bytes), encoding, payload, and loss_first
         (ordinal in its stream; a sequence for damage), loss_records, loss_bytes,
         loss_from, loss_to, loss_reason. --payload says how payloads are written: text (base64 where
         they are no UTF-8), base64 or hex; "encoding" says it for each line.

parquet  The same columns, without unix_ns, size and encoding: times are
         timestamps in nanoseconds, payloads bytes, values that are not known
         null. Compressed with Snappy.

csv --event NAME
         A table of the events, spans or counter values of that name that a program
         has recorded with package tracebuf: seq, time, unix_ns, stream, track,
         process, phase (event, begin, end, counter, loss or gap), span and parent
         (numbers in the track), duration_ns (of an end), lost (records, of a loss),
         and a column for each field, with its unit in parentheses.

perfetto That telemetry as a trace for https://ui.perfetto.dev and trace_processor:
         processes, tracks, slices, instants, counters, and stacks of samples. Records
         that are no telemetry are left out.

pcapng   For Wireshark: one interface per stream, link type USER0, timestamps in
         nanoseconds, the sequence as packet id, the direction in the flags, opcode
         and other flags in a comment. Records above 256 KiB, which Wireshark does
         not take, are several packets with one id.

Losses are part of the export. csv and parquet have a row of kind "loss" where
records of a stream were lost; empty loss_ columns are not known. pcapng counts
them as dropped before the stream's next packet (epb_dropcount), with a comment,
and in the statistics of the interface. perfetto has an instant "records lost".
With --salvage damage does not end the export: what is missing is a row or object
of kind "gap", whose seq is the first one missing, or a comment of the next packet.
csv and parquet leave out stream definitions, opens and closes.

An export to a file is written beside it, as FILE.partial, and gets its name when
it is complete; a device or a named pipe is written to as it is. Memory does not
grow with the archive, but for 17 KiB for each 32 MiB of payload in parquet, whose
index comes last, and for what is defined, running and open in telemetry. That is
read twice: definitions can stand behind what they describe.

Exit codes: 0 exported; 1 the output cannot be written, or Ctrl-C; 2 the archive is
damaged (all before that is exported), 3 unreadable; 64 usage.`

const exportExample = `  # for a spreadsheet, a data frame, Wireshark
  logbuf export day1 --format csv --out day1.csv
  logbuf export day1 --format parquet --out day1.parquet
  logbuf export day1 --format pcapng --out day1.pcapng && tshark -r day1.pcapng

  # telemetry: a trace to look at, a table of one event
  logbuf export day1 --format perfetto --out day1.perfetto-trace
  logbuf export day1 --format csv --event order --out orders.csv

  # a minute of one stream, through a pipe
  logbuf export day1 --format jsonl --out - --stream trades \
      --from-time 2026-11-21T09:30:00Z --to-time 2026-11-21T09:31:00Z | gzip > minute.gz`

var exportFormats = []string{"jsonl", "csv", "pcapng", "parquet", "perfetto"}

// exporting is the flags of export.
type exporting struct {
	sel      selection
	format   string
	out      string
	payload  string
	event    string // csv: of telemetry of that name
	force    bool
	salvage  bool
	limit    uint64
	encoding export.Encoding // of payload
}

func newExportCmd() *cobra.Command {
	e := &exporting{}
	cmd := &cobra.Command{
		Use:               "export DIR --format FORMAT --out FILE|-",
		Short:             "Write records as JSON lines, CSV, pcapng, Parquet or a Perfetto trace",
		Long:              exportLong,
		Example:           exportExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := e.check(cmd); err != nil {
				return err
			}
			return e.run(cmd, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.format, "format", "", "`format`: jsonl, csv, pcapng, parquet or perfetto")
	f.StringVar(&e.out, "out", "", "`file` to write, or - for standard output")
	f.StringVar(&e.payload, "payload", "text", "`how` csv has payloads: text, base64 or hex")
	f.StringVar(&e.event, "event", "", "csv of the telemetry of this `name`, with a column for each field")
	f.BoolVar(&e.force, "force", false, "replace the file if there is one")
	f.BoolVar(&e.salvage, "salvage", false, "go on behind damage, and say what is missing")
	f.Uint64VarP(&e.limit, "limit", "n", 0, "export at most this `number` of data records (default all)")
	e.sel.addFlags(f)
	e.sel.addMessages(f)
	e.sel.addLast(f)
	complete(cmd, "stream", completeStream)
	complete(cmd, "event", completeEvent)
	complete(cmd, "format", cobra.FixedCompletions(exportFormats, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "payload", cobra.FixedCompletions(export.EncodingNames, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check completes the flags after they were read.
func (e *exporting) check(cmd *cobra.Command) error {
	f := cmd.Flags()
	encoding := slices.Index(export.EncodingNames, e.payload)
	switch {
	case !slices.Contains(exportFormats, e.format):
		return cli.Usagef("--format %q: must be %s", e.format, strings.Join(exportFormats, ", "))
	case e.out == "":
		return cli.Usagef("needs --out FILE, or --out - for standard output")
	case encoding < 0:
		return cli.Usagef("--payload %q: must be %s", e.payload, strings.Join(export.EncodingNames, ", "))
	case f.Changed("payload") && e.format != "csv":
		return cli.Usagef("--payload is for csv")
	case f.Changed("event") && (e.format != "csv" || e.event == ""):
		return cli.Usagef("--event NAME is for csv")
	case f.Changed("event") && f.Changed("payload"):
		return cli.Usagef("--payload is for csv of records, not of an event's fields")
	case f.Changed("limit") && e.telemetry():
		return cli.Usagef("--limit is not for telemetry: select by time, sequence or stream")
	case f.Changed("limit") && e.limit == 0:
		return cli.Usagef("--limit 0 exports nothing")
	}
	e.encoding = export.Encoding(encoding)
	return e.sel.check(f)
}

// telemetry tells exports of decoded telemetry.
func (e *exporting) telemetry() bool { return e.format == "perfetto" || e.event != "" }

func (e *exporting) run(cmd *cobra.Command, dir string) error {
	opts := &journal.ReaderOptions{Control: true, Salvage: e.salvage}
	a, err := e.sel.open(dir, opts)
	if err != nil {
		return err
	}
	defer a.close()
	ctx, stop := readContext(cmd)
	defer stop()
	if e.out == "-" {
		return e.toStdout(ctx, cmd, a)
	}
	return e.toFile(ctx, cmd, a)
}

// toStdout exports to standard output. Half an export must not look like a whole one to the next program, so Ctrl-C is no good end.
func (e *exporting) toStdout(ctx context.Context, cmd *cobra.Command, a *archive) error {
	done, err := e.write(ctx, cmd, a, cmd.OutOrStdout())
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("interrupted after %s; the export is not complete", done)
	}
	return err
}

// toFile exports into a file that gets its name when it is complete: at the end of the archive, or where that is damaged.
func (e *exporting) toFile(ctx context.Context, cmd *cobra.Command, a *archive) error {
	is, err := os.Stat(e.out)
	switch {
	case err == nil && is.IsDir():
		return fmt.Errorf("--out: %s is a directory", e.out)
	case err == nil && !is.Mode().IsRegular():
		return e.toDevice(ctx, cmd, a)
	case err == nil && !e.force:
		return fmt.Errorf("%s is there already; --force replaces it", e.out)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("--out: %w", err)
	}
	partial := e.out + ".partial"
	f, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	done, err := e.write(ctx, cmd, a, f)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("interrupted; %s was not written", e.out)
	}
	complete := err == nil || cli.ExitCode(err) == cli.ExitCorrupt
	if complete {
		if syncErr := f.Sync(); syncErr != nil {
			complete, err = false, fmt.Errorf("--out: %w", syncErr)
		}
	}
	if closeErr := f.Close(); closeErr != nil && complete {
		complete, err = false, fmt.Errorf("--out: %w", closeErr)
	}
	if !complete {
		return errors.Join(err, os.Remove(partial))
	}
	if renameErr := os.Rename(partial, e.out); renameErr != nil {
		return errors.Join(fmt.Errorf("--out: %w", renameErr), os.Remove(partial))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "exported %s to %s\n", done, e.out)
	return err
}

// toDevice exports into a device or a named pipe, which is written to and not replaced.
func (e *exporting) toDevice(ctx context.Context, cmd *cobra.Command, a *archive) error {
	f, err := os.OpenFile(e.out, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	done, err := e.write(ctx, cmd, a, f)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("interrupted after %s; the export is not complete", done)
	}
	if closeErr := f.Close(); closeErr != nil && err == nil {
		err = fmt.Errorf("--out: %w", closeErr)
	}
	return err
}

// write exports into w. done says what was written.
func (e *exporting) write(ctx context.Context, cmd *cobra.Command, a *archive, w io.Writer) (done *exportCounts, err error) {
	var out output = &fileOutput{Writer: bufio.NewWriterSize(w, 256<<10), name: e.out}
	if e.out == "-" {
		out = cli.NewOutput(w)
	}
	rows, err := e.rows(ctx, cmd, a, out)
	if err != nil {
		if errors.Is(err, cli.ErrInterrupted) {
			err = nil // those that call say so
		}
		return new(exportCounts), err
	}
	p := &pass{archive: a, sel: &e.sel, printer: rows, out: out, limit: e.limit, onGap: func(g journal.Gap) error {
		warnGap(sayOn(cmd), rows.counts().gaps, g)
		return rows.gap(g)
	}}
	ended, err := p.run(ctx)
	if closeErr := rows.close(); closeErr != nil && (err == nil || errors.Is(err, cli.ErrInterrupted)) {
		err = closeErr
	}
	if t, ok := rows.(interface {
		warn(say func(string, ...any))
	}); ok && err == nil {
		t.warn(sayOn(cmd))
	}
	return rows.counts(), p.finish(cmd, ended, err)
}

// rows makes the format's writer. Of telemetry it reads the definitions.
func (e *exporting) rows(ctx context.Context, cmd *cobra.Command, a *archive, out io.Writer) (exportRows, error) {
	if !e.telemetry() {
		return e.recordRows(a.names, out), nil
	}
	d, err := learn(ctx, a.dir, e.salvage, sayOn(cmd))
	switch {
	case err != nil:
		return nil, err
	case e.format == "csv":
		return newEventRows(a.names, d, e.event, out)
	}
	return &perfettoRows{traceRows: traceRows{names: a.names, d: d}, w: export.NewPerfetto(out, d)}, nil
}

// recordRows makes the writer of a format of records.
func (e *exporting) recordRows(names *streamNames, out io.Writer) exportRows {
	switch e.format {
	case "jsonl":
		return &jsonRows{jsonPrinter: jsonPrinter{names: names}, out: out}
	case "csv":
		return &tableRows{names: names, w: export.NewCSV(out, e.encoding)}
	case "pcapng":
		return &tableRows{names: names, w: export.NewPcapng(out)}
	case "parquet":
		return &tableRows{names: names, w: export.NewParquet(out)}
	}
	panic("format " + e.format + " was checked")
}

// fileOutput is a buffered file that names itself in errors.
type fileOutput struct {
	*bufio.Writer
	name string
}

func (o *fileOutput) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	return n, o.named(err)
}

func (o *fileOutput) Flush() error { return o.named(o.Writer.Flush()) }

func (o *fileOutput) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", o.name, err)
}

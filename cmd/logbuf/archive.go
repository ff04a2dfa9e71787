package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

// archive is an archive that a command reads.
type archive struct {
	dir    string
	reader *journal.Reader
	next   func(context.Context) (journal.Record, error) // the reader's, or that of the messages made of its records
	names  *streamNames
}

func openArchive(dir string, opts *journal.ReaderOptions) (*archive, error) {
	r, err := journal.OpenReader(dir, opts)
	if err != nil {
		return nil, readError(dir, err)
	}
	return &archive{dir: dir, reader: r, next: r.Next, names: newStreamNames(r)}, nil
}

// openMessages opens an archive to be read as messages.
func openMessages(dir string, opts *journal.ReaderOptions) (*archive, error) {
	m, err := wsbuf.OpenMessages(dir, opts)
	if err != nil {
		return nil, readError(dir, err)
	}
	return &archive{dir: dir, reader: m.Reader(), next: m.Next, names: newStreamNames(m.Reader())}, nil
}

func (a *archive) close() { a.reader.Close() } // it was only read: nothing can be lost by a failing close

// warnTorn says on stderr that the archive ends in a torn tail. Call it after the end was reached.
func (a *archive) warnTorn(cmd *cobra.Command) {
	torn := a.reader.Torn()
	if torn == nil {
		return
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: warning: %s has a torn tail at offset %d: %s after %s: %s\n"+
		"All records before it are verified. The next writer sets the tail aside in a .torn file.\n",
		cmd.CommandPath(), filepath.Join(a.dir, torn.File), torn.Offset, cli.Plural(torn.Bytes, "byte"), afterSeq(torn.NextSeq), torn.Reason)
}

// readContext is the context of a command that reads: Ctrl-C ends it, and a second Ctrl-C ends the process at once, also when it hangs in
// a write that nobody takes.
func readContext(cmd *cobra.Command) (ctx context.Context, stop func()) {
	ctx, _, stop = cli.Interruptible(cmd.Context())
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// pass prints the records of one reading of an archive.
type pass struct {
	*archive
	sel     *selection
	printer printer
	out     output
	limit   uint64                  // data records to print; 0 = all
	onGap   func(journal.Gap) error // told of gaps that the reader goes on behind; nil: say is
	say     func(format string, args ...any)
	gaps    uint64
	defined map[uint16]string
}

// run prints until the archive ends, the selection is past or the limit is reached. ended is true when the archive
// ended.
func (p *pass) run(ctx context.Context) (ended bool, err error) {
	if first := p.reader.FirstSeq(); p.sel.hasFrom && p.sel.fromSeq < first {
		p.say("warning: the archive begins at record %d; what came before was trimmed, or is lost: logbuf verify %s tells which", first, shellWord(p.dir))
	}
	for n := uint64(0); p.limit == 0 || n < p.limit; {
		rec, err := p.next(ctx)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if goesOn, err := p.passes(err); err != nil {
			return false, err
		} else if goesOn {
			continue
		}
		if err != nil {
			return false, p.nextError(ctx, err)
		}
		if p.sel.past(rec) {
			return false, nil
		}
		if !p.sel.match(rec, p.names) || p.repeated(rec) {
			continue
		}
		if err := p.printer.print(p.out, rec); err != nil {
			return false, err
		}
		if !isControl(rec) {
			n++
		}
	}
	return false, nil
}

// passes handles what the reader tells once and goes on behind.
func (p *pass) passes(err error) (goesOn bool, failed error) {
	if gap, ok := errors.AsType[*journal.GapError](err); ok {
		p.gaps++
		if p.onGap != nil {
			return true, p.onGap(gap.Gap)
		}
		warnGap(p.say, p.gaps-1, gap.Gap)
		return true, nil
	}
	if again, ok := errors.AsType[*journal.ReissueError](err); ok {
		p.say("warning: a new writer (epoch %d) begins at record %d: what was printed from there on was not durable and is gone", again.Epoch, again.Seq)
		return true, nil
	}
	if unread, ok := errors.AsType[*wsbuf.MessageError](err); ok {
		if p.sel.match(unread.Record, p.names) {
			p.say("warning: stream %s: %v", p.names.of(unread.Record.Stream), unread)
		}
		return true, nil
	}
	return false, nil
}

// nextError tells the end of the context from the end of the archive's readable part.
func (p *pass) nextError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return readError(p.dir, err)
}

// repeated tells whether rec defines a stream once more: each segment begins with the definitions of all streams.
func (p *pass) repeated(rec journal.Record) bool {
	if rec.Kind != journal.KindStream {
		return false
	}
	name := p.names.of(rec.Stream)
	if p.defined[rec.Stream] == name {
		return true
	}
	if p.defined == nil {
		p.defined = make(map[uint16]string)
	}
	p.defined[rec.Stream] = name
	return false
}

// finish ends a command that printed records: what is buffered is written, a torn tail and streams that do not exist are
// named. err is how the printing ended; Ctrl-C is a good end.
func (p *pass) finish(cmd *cobra.Command, ended bool, err error) error {
	if flushErr := p.out.Flush(); flushErr != nil {
		return flushErr
	}
	if errors.Is(err, cli.ErrInterrupted) {
		return nil
	}
	if err != nil || !ended {
		return err
	}
	p.warnTorn(cmd)
	return p.sel.unknownStreams(p.names)
}

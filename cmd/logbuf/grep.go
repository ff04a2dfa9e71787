package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const grepLong = `Print the records of an archive whose payload matches a pattern: a regular expression
(https://golang.org/s/re2syntax), a text with -F, or bytes with --hex.

The pattern is looked for anywhere in the payload; ^ and $ are its beginning and its
end. A regular expression sees UTF-8; for bytes that are none there is --hex, in which
?? stands for any byte. Control records are not looked at.

Exit codes: 0 something matched, 1 nothing did, others as for every command.`

const grepExample = `  # what came in about one order, and the two records before and after
  logbuf grep day1 'order.?id":"?4711\b' -B 2 -A 2

  # how many errors in the last hour
  logbuf grep day1 -i error -c --from-time -1h

  # frames that begin with ff d8, anything, e0
  logbuf grep day1 --hex 'ff d8 ?? e0' --format hex

  # is it in there at all?
  logbuf grep day1 -F -q 'halt' && echo yes`

// grepping is the flags of grep.
type grepping struct {
	sel     selection
	print   printing
	fixed   bool
	hex     bool
	fold    bool
	invert  bool
	count   bool
	quiet   bool
	before  int
	after   int
	context int
	limit   uint64
}

func newGrepCmd() *cobra.Command {
	var g grepping
	cmd := &cobra.Command{
		Use:               "grep DIR PATTERN",
		Short:             "Print the records whose payload matches a pattern",
		Long:              grepLong,
		Example:           grepExample,
		Args:              dirAndPattern,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.sel.check(cmd.Flags()); err != nil {
				return err
			}
			return g.run(cmd, args[0], args[1])
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&g.fixed, "fixed", "F", false, "the pattern is a text, not a regular expression")
	f.BoolVarP(&g.hex, "hex", "x", false, "the pattern is bytes in hexadecimal, ?? is any byte")
	f.BoolVarP(&g.fold, "ignore-case", "i", false, "upper and lower case are the same")
	f.BoolVarP(&g.invert, "invert-match", "v", false, "the records that do not match")
	f.BoolVarP(&g.count, "count", "c", false, "print only how many there are")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "print nothing and end at the first: for the exit code")
	f.IntVarP(&g.after, "after", "A", 0, "print this `number` of records after each")
	f.IntVarP(&g.before, "before", "B", 0, "print this `number` of records before each")
	f.IntVarP(&g.context, "context", "C", 0, "print this `number` of records before and after each")
	f.Uint64VarP(&g.limit, "limit", "n", 0, "end after this `number` of matches (default all)")
	g.print.addFlags(cmd, formatText)
	g.sel.addFlags(f)
	g.sel.addMessages(f)
	g.sel.addLast(f)
	g.sel.addOrder(cmd)
	complete(cmd, "stream", completeStream)
	return cmd
}

// dirAndPattern is the argument rule of grep.
func dirAndPattern(cmd *cobra.Command, args []string) error {
	if len(args) != 2 {
		return cli.Usagef("needs the archive's directory and a pattern, got %d arguments; quote a pattern that has spaces", len(args))
	}
	return oneDir(cmd, args[:1])
}

// maxContext bounds how many records are kept for -B.
const maxContext = 10000

// matcher makes the function that looks at payloads.
func (g *grepping) matcher(pattern string) (func([]byte) bool, error) {
	if n := min(g.before, g.after, g.context); n < 0 || max(g.before, g.after, g.context) > maxContext {
		return nil, cli.Usagef("-A, -B and -C: must be 0 to %d", maxContext)
	}
	g.before, g.after = max(g.before, g.context), max(g.after, g.context)
	switch {
	case g.fixed && g.hex:
		return nil, cli.Usagef("-F and --hex exclude each other")
	case g.hex && g.fold:
		return nil, cli.Usagef("-i makes no sense with --hex")
	case g.hex:
		return hexMatcher(pattern)
	case g.fixed && !g.fold:
		return func(b []byte) bool { return bytes.Contains(b, []byte(pattern)) }, nil
	case g.fixed:
		pattern = regexp.QuoteMeta(pattern)
	}
	if g.fold {
		pattern = "(?i)" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, cli.Usagef("%w; -F takes the pattern as a text", err)
	}
	return re.Match, nil
}

// hexMatcher finds bytes in a payload; ?? is any byte.
func hexMatcher(pattern string) (func([]byte) bool, error) {
	digits := strings.Join(strings.Fields(pattern), "")
	var want, mask []byte
	for len(digits) >= 2 {
		b, err := hex.DecodeString(digits[:2])
		switch {
		case digits[:2] == "??":
			want, mask = append(want, 0), append(mask, 0)
		case err != nil:
			return nil, cli.Usagef("--hex: %q are not two hexadecimal digits, nor ??", digits[:2])
		default:
			want, mask = append(want, b[0]), append(mask, 0xff)
		}
		digits = digits[2:]
	}
	if digits != "" || len(want) == 0 {
		return nil, cli.Usagef("--hex: %q is not a number of bytes of two digits each", pattern)
	}
	return func(payload []byte) bool {
	next:
		for i := 0; i+len(want) <= len(payload); i++ {
			for j, b := range payload[i : i+len(want)] {
				if b&mask[j] != want[j] {
					continue next
				}
			}
			return true
		}
		return false
	}, nil
}

func (g *grepping) run(cmd *cobra.Command, dir, pattern string) error {
	match, err := g.matcher(pattern)
	if err != nil {
		return err
	}
	a, err := g.sel.open(dir, &journal.ReaderOptions{})
	if err != nil {
		return err
	}
	defer a.close()
	ctx, stop := readContext(cmd)
	defer stop()
	out := cli.NewOutput(cmd.OutOrStdout())
	found := &matches{grepping: g, match: match, printer: g.print.printer(a.names)}
	p := &pass{archive: a, sel: &g.sel, printer: found, out: out, say: sayOn(cmd)}
	ended, err := p.run(ctx)
	if errors.Is(err, errEnough) {
		ended, err = false, nil
	}
	if g.count && (err == nil || !errors.Is(err, cli.ErrInterrupted)) {
		fmt.Fprintln(out, found.n)
	}
	if failed := p.finish(cmd, ended, err); failed != nil || found.n > 0 || errors.Is(err, cli.ErrInterrupted) {
		return failed
	}
	return &cli.ExitError{Code: cli.ExitFailed} // nothing matched: that is said by the code
}

// errEnough ends a search that has found what it was for.
var errEnough = errors.New("enough matches")

// matches prints the records that match, and those around them.
type matches struct {
	*grepping
	match   func([]byte) bool
	printer printer
	n       uint64           // matches
	recent  []journal.Record // the last ones that were not printed, at most g.before
	left    int              // so many after a match are still to print
	skipped bool             // there is something between what was printed last and what is kept
	printed bool
}

// print is printer.print. It is given the records of the selection.
func (m *matches) print(w io.Writer, rec journal.Record) error {
	switch {
	case isControl(rec):
		return nil
	case m.match(rec.Payload) == m.invert:
		return m.other(w, rec)
	}
	m.n++
	if m.quiet {
		return errEnough
	}
	if !m.count {
		if err := m.hit(w, rec); err != nil {
			return err
		}
	}
	if m.n == m.limit {
		return errEnough
	}
	return nil
}

// hit prints a match and what is kept of the records before it.
func (m *matches) hit(w io.Writer, rec journal.Record) error {
	if m.skipped && m.printed && m.before+m.after > 0 && (m.format() == formatText || m.format() == formatHex) {
		if _, err := io.WriteString(w, "--\n"); err != nil {
			return err
		}
	}
	for _, r := range m.recent {
		if err := m.printer.print(w, r); err != nil {
			return err
		}
	}
	m.recent, m.left, m.skipped, m.printed = m.recent[:0], m.after, false, true
	return m.printer.print(w, rec)
}

func (m *matches) format() format { return m.grepping.print.format }

// other handles a record that is no match: it is printed behind one, or kept for the next.
func (m *matches) other(w io.Writer, rec journal.Record) error {
	switch {
	case m.count:
	case m.left > 0:
		m.left--
		return m.printer.print(w, rec)
	case m.before == 0:
		m.skipped = true
	default:
		if len(m.recent) == m.before {
			m.skipped = true
			m.recent = append(m.recent[:0], m.recent[1:]...)
		}
		m.recent = append(m.recent, rec.Clone())
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/fixdict"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/fixindex"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const fixShowLong = `Show messages of a session, found by MsgSeqNum.

Each message is a line with its record's sequence and time, who sent it, its type and
number, and a line for each field: tag, name, value and what the value means. --raw
prints the message on one line, with | for the SOH; --soh byte for byte, with nothing
added; --json an object on each line.

Numbers begin anew with each day: --from 1 --to 10 shows those of every day, --day 1
those of the last, --day 2 those of the one before. Messages are in the order in which
they were recorded, repetitions included.`

const fixShowExample = `  logbuf fix show fix --session FIX.4.4:BUYER-SELLER --from 100 --to 120
  logbuf fix show fix --sender SELLER --type 8 --raw
  logbuf fix show fix --direction in --from 1 --soh > received.fix`

// fixShow is the flags of fix show.
type fixShow struct {
	fixOptions
	from, to  uint64
	day       int
	direction string
	sender    string
	types     []string
	raw, soh  bool
	json, utc bool
}

func newFixShowCmd() *cobra.Command {
	f := &fixShow{}
	cmd := &cobra.Command{
		Use:               "show DIR",
		Short:             "Show messages by MsgSeqNum",
		Long:              fixShowLong,
		Example:           fixShowExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.addFlags(cmd, true)
	flags := cmd.Flags()
	flags.Uint64Var(&f.from, "from", 1, "`number` (MsgSeqNum) of the first message")
	flags.Uint64Var(&f.to, "to", 0, "`number` (MsgSeqNum) of the last message; 0 = to the end")
	flags.IntVar(&f.day, "day", 0, "only since the numbers last began anew: 1 the last `time`, 2 the one before; 0 = all; needs --sender")
	flags.StringVar(&f.direction, "direction", "", "only messages that were received (`in`) or sent (out) by who recorded")
	flags.StringVar(&f.sender, "sender", "", "only messages of the side with this `CompID`")
	flags.StringSliceVar(&f.types, "type", nil, "only messages of these `types`: D,8")
	flags.BoolVar(&f.raw, "raw", false, "one line for each message, fields divided by |")
	flags.BoolVar(&f.soh, "soh", false, "the messages byte for byte, and nothing else")
	flags.BoolVar(&f.json, "json", false, "a line of JSON for each message")
	flags.BoolVar(&f.utc, "utc", false, "times in UTC, not in local time")
	complete(cmd, "direction", cobra.FixedCompletions([]string{"in", "out"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *fixShow) check() error {
	if f.to == 0 {
		f.to = math.MaxUint64
	}
	styles := 0
	for _, on := range []bool{f.raw, f.soh, f.json} {
		if on {
			styles++
		}
	}
	switch {
	case f.from > f.to:
		return cli.Usagef("--from %d is after --to %d", f.from, f.to)
	case f.direction != "" && f.direction != "in" && f.direction != "out":
		return cli.Usagef("--direction %q: must be in or out", f.direction)
	case styles > 1:
		return cli.Usagef("--raw, --soh and --json are three ways to print: give one of them")
	case f.day < 0:
		return cli.Usagef("--day %d is negative; 1 is since the numbers last began anew", f.day)
	case f.day > 0 && f.sender == "":
		return cli.Usagef("--day %d needs --sender, because each side's numbers begin anew by themselves", f.day)
	}
	return nil
}

func (f *fixShow) run(cmd *cobra.Command, dir string) error {
	if err := f.check(); err != nil {
		return err
	}
	ctx, stop := readContext(cmd)
	defer stop()
	a, err := f.open(ctx, cmd, dir)
	if err != nil {
		return interruptIsFine(err)
	}
	session, err := a.choose(f.session)
	if err != nil {
		return err
	}
	side, err := a.side(session, f.sender)
	if err != nil {
		return err
	}
	spans, err := f.spans(a, session, side)
	if err != nil {
		return err
	}
	out := cli.NewOutput(cmd.OutOrStdout())
	p := fixPrinter{out: out, at: zoned(f.utc), session: session}
	print := p.fields
	switch {
	case f.raw:
		print = p.raw
	case f.soh:
		print = p.soh
	case f.json:
		print = p.json
	}
	shown := 0
	err = fixindex.Read(ctx, dir, session, spans, a.gap, func(m *fixindex.Message) error {
		if !f.match(m, side) {
			return nil
		}
		shown++
		return print(m)
	})
	if flushErr := out.Flush(); flushErr != nil {
		return flushErr
	}
	if err == nil && shown == 0 {
		a.say("the archive has no such message; of %s it has %s, less what fix sessions --gaps lists", session, a.ranges(session))
	}
	if ctx.Err() != nil {
		return interruptIsFine(context.Cause(ctx))
	}
	var corrupt *journal.CorruptionError
	if errors.As(err, &corrupt) {
		return readError(dir, err)
	}
	return a.result(err)
}

// spans is where the messages may be.
func (f *fixShow) spans(a *fixArchive, session string, side int) ([]fixindex.Span, error) {
	if f.day == 0 {
		return a.Find(session, side, f.from, f.to), nil
	}
	days := a.Days(session, side)
	if f.day > len(days) {
		return nil, fmt.Errorf("--day %d: the numbers of %s began anew %s in this archive", f.day, f.sender, cli.Plural(len(days)-1, "time"))
	}
	d := days[len(days)-f.day]
	return d.Find(f.from, f.to), nil
}

func (f *fixShow) match(m *fixindex.Message, side int) bool {
	h := &m.Header
	out := m.Flags&journal.FlagOutbound != 0
	switch {
	case h.SeqNum < f.from || h.SeqNum > f.to,
		side >= 0 && h.Side() != side,
		f.direction == "in" && out, f.direction == "out" && !out:
		return false
	}
	for _, t := range f.types {
		if h.Is(t) {
			return true
		}
	}
	return len(f.types) == 0
}

// ranges says which numbers there are.
func (a *fixArchive) ranges(session string) string {
	var b strings.Builder
	for side := range 2 {
		id := a.Session(session).Identity.CompID(side)
		for _, d := range a.Days(session, side) {
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%d to %d of %s", d.From, d.To, safeText(id))
		}
	}
	return b.String()
}

// fixPrinter prints messages.
type fixPrinter struct {
	out     output
	at      func(int64) string
	session string
	buf     []byte
}

func arrow(m *fixindex.Message) string {
	if m.Flags&journal.FlagOutbound != 0 {
		return "out"
	}
	return "in"
}

// fields prints a line for each field.
func (p *fixPrinter) fields(m *fixindex.Message) error {
	h := &m.Header
	b := fmt.Appendf(p.buf[:0], "record %d  %s  %s  %s to %s  %s (%s)  MsgSeqNum %d", m.Seq, p.at(m.Time), arrow(m),
		safeText(string(h.Sender)), safeText(string(h.Target)), fixdict.Type(string(h.MsgType)), safeText(string(h.MsgType)), h.SeqNum)
	if h.PossDup {
		b = append(b, "  repeated"...)
	}
	b = append(b, '\n')
	err := fixbuf.Fields(m.Payload, func(tag int, value []byte) bool {
		b = fmt.Appendf(b, "%7d  %-22s ", tag, fixdict.Tag(tag))
		b = appendSafe(b, bytes.ReplaceAll(value, []byte{1}, []byte{'|'}))
		means := fixdict.Value(tag, string(value))
		if tag == 35 {
			means = fixdict.Type(string(value))
		}
		if means != "" && means != string(value) {
			b = fmt.Appendf(b, "  %s", means)
		}
		b = append(b, '\n')
		return true
	})
	if err != nil {
		b = fmt.Appendf(b, "         %v\n", err)
	}
	p.buf = append(b, '\n')
	_, err = p.out.Write(p.buf)
	return err
}

func (p *fixPrinter) raw(m *fixindex.Message) error {
	p.buf = fmt.Appendf(p.buf[:0], "%d  %s  %-3s  ", m.Seq, p.at(m.Time), arrow(m))
	p.buf = appendSafe(p.buf, bytes.ReplaceAll(m.Payload, []byte{1}, []byte{'|'}))
	p.buf = append(p.buf, '\n')
	_, err := p.out.Write(p.buf)
	return err
}

func (p *fixPrinter) soh(m *fixindex.Message) error {
	_, err := p.out.Write(m.Payload)
	return err
}

// fixMessageJSON is a line of `fix show --json`. The fields are stable; new ones may be added.
type fixMessageJSON struct {
	Seq       uint64         `json:"seq"`
	Time      string         `json:"time"`
	UnixNs    int64          `json:"unix_ns"`
	Session   string         `json:"session"`
	Direction string         `json:"direction"`
	Sender    string         `json:"sender"`
	MsgType   string         `json:"msg_type"`
	Name      string         `json:"name"`
	SeqNum    uint64         `json:"msg_seq_num"`
	PossDup   bool           `json:"poss_dup,omitempty"`
	Fields    []fixFieldJSON `json:"fields"`
}

type fixFieldJSON struct {
	Tag   int    `json:"tag"`
	Name  string `json:"name,omitempty"`
	Value string `json:"value"`
}

var utcTime = zoned(true)

func (p *fixPrinter) json(m *fixindex.Message) error {
	h := &m.Header
	j := fixMessageJSON{Seq: m.Seq, Time: utcTime(m.Time), UnixNs: m.Time, Session: p.session, Direction: arrow(m), Sender: string(h.Sender),
		MsgType: string(h.MsgType), Name: fixdict.Type(string(h.MsgType)), SeqNum: h.SeqNum, PossDup: h.PossDup}
	err := fixbuf.Fields(m.Payload, func(tag int, value []byte) bool {
		j.Fields = append(j.Fields, fixFieldJSON{tag, fixdict.Tag(tag), string(value)})
		return true
	})
	if err != nil {
		return fmt.Errorf("record %d: %w", m.Seq, err)
	}
	return json.NewEncoder(p.out).Encode(j)
}

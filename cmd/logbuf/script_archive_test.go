package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/rogpeppe/go-internal/testscript"
)

// archiveStart is the time of the first record of every archive that scripts make.
var archiveStart = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

// cmdMkarchive makes an archive, or goes on in one:
//
//	mkarchive [-n COUNT] [-size BYTES] [-segment BYTES] [-torn] [-keep] DIR [SPEC]
//
// SPEC has one record a line: stream, offset from archiveStart, what, payload. What is data, text, binary, packed (text, compressed), part, rest, ping, out,
// user, mark, debug, info, error, fatal (log lines) or loss (its payload: first records bytes); payloads may have Go's escapes. -n appends COUNT generated
// records of BYTES, a millisecond apart, on the streams trades and book in turn. -torn leaves the archive as a crash in
// the middle of its last write would. -keep leaves the writer open until the script ends.
func cmdMkarchive(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("mkarchive", flag.ContinueOnError)
	count := flags.Int("n", 0, "")
	size := flags.Int("size", 32, "")
	segment := flags.Int64("segment", 0, "")
	torn := flags.Bool("torn", false, "")
	keep := flags.Bool("keep", false, "")
	ts.Check(flags.Parse(args))
	if neg || flags.NArg() < 1 || flags.NArg() > 2 {
		ts.Fatalf("usage: mkarchive [-n COUNT] [-size BYTES] [-segment BYTES] [-torn] [-keep] DIR [SPEC]")
	}
	dir := ts.MkAbs(flags.Arg(0))
	opts := &journal.Options{SegmentSize: *segment}
	work := dir
	if *torn {
		opts.Sync = journal.SyncNone // nothing is promised, so nothing is corrupt
		work = dir + ".writing"
	}
	w, err := journal.Open(work, opts)
	ts.Check(err)
	if flags.NArg() == 2 {
		for _, line := range strings.Split(strings.TrimSpace(ts.ReadFile(flags.Arg(1))), "\n") {
			ts.Check(appendSpec(w, line))
		}
	}
	ts.Check(appendGenerated(w, *count, *size))
	if *torn {
		ts.Check(tearOff(dir, work, w.Stats()))
	}
	if *keep {
		ts.Defer(func() { ts.Check(w.Close()) })
		return
	}
	ts.Check(w.Close())
}

// tearOff copies the files of an archive that is being written, without the last bytes of its newest segment.
func tearOff(dir, work string, stats journal.Stats) error {
	if err := os.CopyFS(dir, os.DirFS(work)); err != nil {
		return err
	}
	return os.Truncate(filepath.Join(dir, filepath.Base(stats.SegmentFile)), stats.SegmentSize-5)
}

func appendGenerated(w *journal.Writer, count, size int) error {
	for i := range count {
		stream, err := w.DefineStream([]string{"trades", "book"}[i%2])
		if err != nil {
			return err
		}
		at := archiveStart.Add(time.Duration(i) * time.Millisecond)
		payload := fmt.Sprintf("record %d ", i)
		payload += strings.Repeat(".", max(0, size-len(payload)))
		if _, err := w.Append(journal.Record{Time: at.UnixNano(), Stream: stream, Payload: []byte(payload)}); err != nil {
			return err
		}
	}
	return nil
}

// specKinds are what a line of a spec can be besides a loss.
var specKinds = map[string]journal.Record{
	"data":   {Kind: journal.KindData},
	"text":   {Kind: journal.KindData, Flags: 1 | journal.FlagFinal},
	"binary": {Kind: journal.KindData, Flags: 2 | journal.FlagFinal},
	"packed": {Kind: journal.KindData, Flags: 1 | journal.FlagFinal | journal.FlagCompressed},
	"part":   {Kind: journal.KindData, Flags: 1},
	"rest":   {Kind: journal.KindData, Flags: journal.FlagFinal},
	"ping":   {Kind: journal.KindData, Flags: 9 | journal.FlagFinal},
	"out":    {Kind: journal.KindData, Flags: 1 | journal.FlagFinal | journal.FlagOutbound},
	"user":   {Kind: 7},
	"mark":   {Kind: journal.KindMark},
	"debug":  {Kind: slogbuf.Kind, Flags: 3},
	"info":   {Kind: slogbuf.Kind, Flags: 5},
	"error":  {Kind: slogbuf.Kind, Flags: 9},
	"fatal":  {Kind: slogbuf.Kind, Flags: 15},
}

func appendSpec(w *journal.Writer, line string) error {
	fields := strings.SplitN(line, " ", 4)
	if len(fields) < 3 {
		return fmt.Errorf("line %q: want stream, offset, what, payload", line)
	}
	fields = append(fields, "")
	stream, err := w.DefineStream(fields[0])
	if err != nil {
		return err
	}
	offset, err := time.ParseDuration(fields[1])
	if err != nil {
		return err
	}
	at := archiveStart.Add(offset).UnixNano()
	if fields[2] == "loss" {
		l := journal.Loss{Stream: stream, From: at, To: at + int64(time.Second), Reason: journal.LossOverload}
		if _, err := fmt.Sscan(fields[3], &l.First, &l.Records, &l.Bytes); err != nil {
			return err
		}
		return w.AppendLoss(l)
	}
	rec, ok := specKinds[fields[2]]
	payload, err := strconv.Unquote(`"` + strings.ReplaceAll(fields[3], `"`, `\"`) + `"`)
	if !ok || err != nil {
		return fmt.Errorf("line %q: kind known: %t; payload: %v", line, ok, err)
	}
	rec.Time, rec.Stream, rec.Payload = at, stream, []byte(payload)
	_, err = w.Append(rec)
	return err
}

// oneFile gives the only file that a pattern in the script's directory matches, or the n-th of them: "day1/*.lbj@1".
func oneFile(ts *testscript.TestScript, pattern string) string {
	pattern, nth, numbered := strings.Cut(pattern, "@")
	files, err := filepath.Glob(ts.MkAbs(pattern))
	ts.Check(err)
	n := 0
	if numbered {
		n, err = strconv.Atoi(nth)
		ts.Check(err)
	} else if len(files) != 1 {
		ts.Fatalf("%s matches %d files: %q", pattern, len(files), files)
	}
	if n >= len(files) {
		ts.Fatalf("%s matches %d files, there is no number %d", pattern, len(files), n)
	}
	return files[n]
}

// cmdFlip flips one bit of the first place where a text stands: flip FILE TEXT.
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE TEXT")
	}
	file := oneFile(ts, args[0])
	data, err := os.ReadFile(file)
	ts.Check(err)
	at := bytes.Index(data, []byte(args[1]))
	if at < 0 {
		ts.Fatalf("%s does not have %q", file, args[1])
	}
	data[at] ^= 0x10
	ts.Check(os.WriteFile(file, data, 0o600))
}

// cmdTruncate cuts a file in front of the first place where a text stands: truncate FILE TEXT.
func cmdTruncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate FILE TEXT")
	}
	file := oneFile(ts, args[0])
	data, err := os.ReadFile(file)
	ts.Check(err)
	at := bytes.Index(data, []byte(args[1]))
	if at < 0 {
		ts.Fatalf("%s does not have %q", file, args[1])
	}
	ts.Check(os.Truncate(file, int64(at)))
}

// cmdWaitfor waits until a file has a text: waitfor FILE TEXT.
func cmdWaitfor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor FILE TEXT")
	}
	const limit = time.Minute // only a broken program gets here
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			ts.Check(err)
		}
		if bytes.Contains(data, []byte(args[1])) {
			return
		}
		if time.Since(start) > limit {
			ts.Fatalf("%s has no %q after %v; it has:\n%s", args[0], args[1], limit, data)
		}
	}
}

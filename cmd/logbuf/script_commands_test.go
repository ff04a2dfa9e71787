package main

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdCode runs a program and checks its exit code: code 2 logbuf verify day1.
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// cmdRemove removes one of the files that a pattern matches: remove day1/*.lbj@1 removes the second.
func cmdRemove(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: remove FILE")
	}
	ts.Check(os.Remove(oneFile(ts, args[0])))
}

// Where a segment's header has its major version and its checksum: see docs/JOURNAL.md.
const (
	headerLen     = 4096
	versionOffset = 8
)

// cmdFuture makes a segment claim a later format version, with a checksum that agrees: future FILE.
func cmdFuture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: future FILE")
	}
	file := oneFile(ts, args[0])
	data, err := os.ReadFile(file)
	ts.Check(err)
	binary.LittleEndian.PutUint16(data[versionOffset:], 99)
	sum := crc32.Checksum(data[:headerLen-4], crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(data[headerLen-4:], sum)
	ts.Check(os.WriteFile(file, data, 0o600))
}

// Times of records that the writer makes by itself are those of the test's run.
var (
	scrubText = regexp.MustCompile(`(?m)^(#?\s*\*  )\S+(  \S+\s+(?:stream \d+ is|closed in good order|opened for writing))`)
	scrubJSON = regexp.MustCompile(`"time":"[^"]*","unix_ns":\d+,((?:"stream":"[^"]*","stream_id":\d+,)?"kind":"(?:stream|close|open)")`)
)

// cmdScrub copies a file and puts TIME where the time of a stream definition, an open or a close stands: scrub FROM TO.
func cmdScrub(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: scrub FROM TO")
	}
	text := []byte(ts.ReadFile(args[0]))
	text = scrubText.ReplaceAll(text, []byte("${1}TIME${2}"))
	text = scrubJSON.ReplaceAll(text, []byte(`"time":"TIME","unix_ns":0,$1`))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
}

package main

import (
	"fmt"
	"strings"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/config"
	"github.com/spf13/cobra"
)

const exitCodesLong = `Exit codes of every logbuf command:

   0  all is well. cat, tail, stat and replay also end with 0 on an archive with
      a torn tail (they print what is verified and warn on stderr), after Ctrl-C,
      and when the reader of their output has seen enough.
   1  verify: the archive ends in a torn tail; nothing that was durable is gone.
      Other commands: the command failed, and stderr says why.
   2  corrupt: damage inside what was written as durable. stderr names the file,
      the offset and the sequence numbers that are lost.
   3  unreadable: no archive there, an empty directory, a file instead of a
      directory, no permission, or a format version this build does not know.
   4  loss: verify found no damage, but records are missing: a power cut took them
      before they were durable while later ones survived, or the oldest segments
      are gone and no note says that they were removed on purpose.
  64  usage: the command line, or the file of record --config, is wrong.`

func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodesLong}
}

const formatsLong = `Output formats of cat, tail, grep and replay (--format):

text  One line per record: sequence, time, stream, kind, size in bytes, payload.
          42  2026-11-21T09:30:00.123456789Z  trades  <text       27  {"px":101.5}
      The kind is the WebSocket opcode or the level of a log line where there is
      one, else data or user-N. Telemetry of package tracebuf is decoded, where its
      definitions came before it.
      '<' came in, '>' went out; + more fragments follow, ~ compressed as it was
      received, ! cut by a limit. Payloads that are UTF-8 are shown as they are,
      with control characters escaped; others are quoted with \x escapes. A line
      is safe on a terminal, and for eyes: programs read json or raw.
      Lines with a * for the number are no data: stream definitions, losses,
      marks, closes.

json  One object per line. Data:
        seq        sequence number            time       RFC 3339, UTC
        unix_ns    the same as an integer     stream     its name
        stream_id  its number                 kind       "data" or "user-N"
        code       source's code (WebSocket opcode), 0 when there is none
        opcode     its name, when it has one  level      of a log line that has one
        final, compressed, outbound, truncated   present when true
        size       payload bytes
        payload    a string, when the payload is valid UTF-8; otherwise
        payload_base64
      Control records have kind "stream", "loss", "mark", "close" or another name,
      and the seq of the data record that comes next. A loss carries an object
      "loss": first (ordinal in its stream; with the reason "damage" a sequence),
      records, bytes, from, to, reason; a mark its "text"; what this build does not
      know comes as payload_base64.

hex   A line that begins with '#', then the payload as 'hexdump -C' shows it.

raw   The payloads of data records byte for byte, and nothing else.`

func newFormatsTopic() *cobra.Command {
	return &cobra.Command{Use: "formats", Short: "What --format text, json, hex and raw print", Long: formatsLong}
}

const configLong = `logbuf record --config FILE takes what to record from a YAML file. The least it says:

  dir: /var/lib/logbuf/feed
  sources:
    - url: wss://feed.example/v1

Keys are named after the flags of 'logbuf record', and sizes and times are spelled the
same way: 64KiB, 1GiB; 250ms, 10s, 7d. What stands under defaults holds for every source
that does not say otherwise:

  defaults:
    ring: 4MiB
    reconnect: always
  sources:
    - url: wss://feed.example/v1?key=${env:FEED_KEY}
      name: btc
      headers:
        Authorization: Bearer ${file:/etc/logbuf/token}
      subscribe:
        - '{"op":"subscribe","channel":"trades"}'
    - url: tcp://127.0.0.1:9000
      overload: wait

Secrets stay outside of the file. In the query of a url, in headers and in subscribe
  ${env:NAME}         is an environment variable,
  ${file:PATH}        is what is in a file; a warning comes if anybody can read it,
  ${credential:NAME}  is the same of a credential that systemd hands over.
Paths take ${env:NAME}. $${ is a plain ${. A header such as Authorization whose value
stands in the file is refused. No secret is ever printed, nor written to the archive.

A flag on the command line overrides the file, for all sources: --ring 16MiB. Sources,
headers and subscriptions cannot be added there.

  logbuf record --config FILE --check

lists everything that is wrong, with lines: unknown keys, values out of range, files
and variables that are missing, a directory that cannot be written to. When all is well
it prints what would be recorded. It connects to nobody and makes nothing. Exit code 0,
or 64. docs/record.example.yaml has every key.
`

func newConfigTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString(configLong)
	top, source := config.Keys()
	for _, keys := range []struct {
		title string
		keys  []config.Key
	}{{"Keys at the top", top}, {"Keys of a source, and under defaults", source}} {
		fmt.Fprintf(&b, "\n%s:\n", keys.title)
		for _, k := range keys.keys {
			fmt.Fprintf(&b, "  %-13s %s\n", k.Name, k.Usage)
		}
	}
	return &cobra.Command{Use: "config", Short: "What a configuration file of record can say", Long: b.String()}
}

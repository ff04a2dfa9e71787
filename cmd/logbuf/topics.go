package main

import "github.com/spf13/cobra"

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
  64  usage: the command line cannot be understood.`

func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodesLong}
}

const formatsLong = `Output formats of cat, tail, grep and replay (--format):

text  One line per record: sequence, time, stream, kind, size in bytes, payload.
          42  2026-11-21T09:30:00.123456789Z  trades  <text       27  {"px":101.5}
      The kind is the WebSocket opcode where there is one, else data or user-N.
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
        opcode     its name, when it has one
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

package main

import (
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const catLong = `Print the records of an archive, from its first to the last there is now.

Records are numbered from 0 and printed in that order, which is the order they were
written in. Losses, stream definitions and other control records stand between
them in text, json and hex. With --format raw the payloads are printed byte for
byte and nothing else: what was recorded with 'record -' comes back as it went in.

With --order time they are sorted by their time: a record is held back until one is
later by --window, and one that comes later than that is printed where it comes.

With --messages, frames of WebSockets are put together to messages: fragments
joined, what was recorded compressed (record --deflate raw, or a tap) inflated. A
message that is not whole, or refers to one that was lost, is a warning on stderr.

Every byte is checked before it is printed. A torn tail, which a crash leaves
behind, is a warning on stderr and exit code 0; damage is exit code 2 after all
that stands before it was printed.`

const catExample = `  # what is in it, and what happened at half past nine
  logbuf cat day1 | less -S
  logbuf cat day1 --from-time 2026-11-21T09:30:00Z --to-time 2026-11-21T09:30:01Z

  # for programs: one JSON object per line
  logbuf cat day1 --format json --stream trades | jq -r .payload

  # what was recorded, byte for byte
  logbuf cat day1 --format raw > day1.txt

  # ten records in hexadecimal, from number 1200 on
  logbuf cat day1 --format hex --from-seq 1200 -n 10`

func newCatCmd() *cobra.Command {
	var (
		sel   selection
		print printing
		limit uint64
	)
	cmd := &cobra.Command{
		Use:               "cat DIR",
		Short:             "Print the records of an archive",
		Long:              catLong,
		Example:           catExample,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sel.check(cmd.Flags()); err != nil {
				return err
			}
			if cmd.Flags().Changed("limit") && limit == 0 {
				return nil
			}
			return runCat(cmd, args[0], &sel, &print, limit)
		},
	}
	print.addFlags(cmd, formatText)
	sel.addFlags(cmd.Flags())
	sel.addMessages(cmd.Flags())
	sel.addLast(cmd.Flags())
	sel.addOrder(cmd)
	complete(cmd, "stream", completeStream)
	cmd.Flags().Uint64VarP(&limit, "limit", "n", 0, "print at most this `number` of data records (default all)")
	return cmd
}

func runCat(cmd *cobra.Command, dir string, sel *selection, print *printing, limit uint64) error {
	opts := &journal.ReaderOptions{Control: print.control()}
	a, err := sel.open(dir, opts)
	if err != nil {
		return err
	}
	defer a.close()
	ctx, stop := readContext(cmd)
	defer stop()
	out := cli.NewOutput(cmd.OutOrStdout())
	p := &pass{archive: a, sel: sel, printer: print.printer(a.names), out: out, limit: limit, say: sayOn(cmd)}
	ended, err := p.run(ctx)
	return p.finish(cmd, ended, err)
}

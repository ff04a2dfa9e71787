package main

import (
	"context"
	"slices"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

// completeStreamFor is how long a shell may be kept waiting for the names of streams.
const completeStreamFor = 300 * time.Millisecond

// completeStream completes --stream with the names that the archive on the command line defines, as far as they can be
// found in a moment.
func completeStream(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeStreamFor)
	defer cancel()
	var names []string
	for _, opts := range []journal.ReaderOptions{{End: true}, {}} {
		names = append(names, streamsFrom(ctx, args[0], opts)...)
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// streamsFrom reads for as long as ctx lasts. Errors end it: a completion has no one to tell.
func streamsFrom(ctx context.Context, dir string, opts journal.ReaderOptions) []string {
	r, err := journal.OpenReader(dir, &opts)
	if err != nil {
		return nil
	}
	defer r.Close()
	for err == nil && ctx.Err() == nil {
		_, err = r.Next(ctx)
	}
	return newStreamNames(r).all()
}

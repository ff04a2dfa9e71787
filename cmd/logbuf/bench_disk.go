package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/diskbench"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

const benchDiskLong = `Write to DIR's disk as a recorder does, measure how long writes and syncs take, and
say which sync policy that suggests.

The number that decides is the sync: how long it takes until the disk says that it
has the data. It differs by a factor of a thousand between disks, and no data sheet
tells it. Run this on the disk that is going to be recorded to, while the machine
does what it does all day.

DIR must exist. At most 256 MiB are written at a time, to one file, which is removed
at the end, also after Ctrl-C.`

const benchDiskExample = `  logbuf bench-disk /var/lib/feeds

  # longer, for the rare stalls
  logbuf bench-disk /var/lib/feeds --time 30s

  # for a dashboard
  logbuf bench-disk /var/lib/feeds --json | jq '.tests[] | {name, p99_ns}'`

func newBenchDiskCmd() *cobra.Command {
	each := cli.Duration(2 * time.Second)
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "bench-disk DIR",
		Short:             "Measure a disk's writes and syncs; suggest a policy",
		Long:              benchDiskLong,
		Example:           benchDiskExample,
		Args:              diskDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if each == 0 {
				return cli.Usagef("--time 0s: must be longer")
			}
			return runBenchDisk(cmd, args[0], time.Duration(each), asJSON)
		},
	}
	cmd.Flags().Var(&each, "time", "`duration` of each of the four tests")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// diskDir is the argument rule: a directory, which need not be an archive's.
func diskDir(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cli.Usagef("needs a directory on the disk to measure as its argument")
	}
	return oneDir(cmd, args)
}

func runBenchDisk(cmd *cobra.Command, dir string, each time.Duration, asJSON bool) error {
	ctx, _, stop := cli.Interruptible(cmd.Context())
	defer stop()
	status := cli.NewStatus(cmd.ErrOrStderr())
	results, err := diskbench.Run(ctx, dir, &diskbench.Options{
		Time: each,
		Progress: func(test string, done, total time.Duration) {
			status.Set("%s: %s of %s", test, cli.Elapsed(done), cli.Elapsed(total))
		},
	})
	status.Clear()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("cannot measure in %s: %w", shellWord(dir), err)
	}
	if ctx.Err() != nil && len(results) == 0 {
		return errors.New("interrupted before the first test was done; the file is removed")
	}
	return printBenchDisk(cmd.OutOrStdout(), dir, results, asJSON)
}

func printBenchDisk(w io.Writer, dir string, results []diskbench.Result, asJSON bool) error {
	out := cli.NewOutput(w)
	advice, ok := diskbench.Advise(results)
	if asJSON {
		if err := json.NewEncoder(out).Encode(newBenchDiskJSON(dir, results, advice, ok)); err != nil {
			return err
		}
		return out.Flush()
	}
	fmt.Fprintf(out, "%-20s %8s %10s %10s %10s %10s %10s %12s\n", "", "calls", "p50", "p90", "p99", "p99.9", "max", "rate")
	for _, r := range results {
		fmt.Fprintf(out, "%-20s %8s %10s %10s %10s %10s %10s %12s\n", r.Name, cli.Count(r.Calls), cli.Elapsed(r.P50), cli.Elapsed(r.P90),
			cli.Elapsed(r.P99), cli.Elapsed(r.P999), cli.Elapsed(r.Max), cli.ByteRate(int64(r.Calls)*int64(r.Size), r.Took))
	}
	if !ok {
		fmt.Fprintln(out, "\nInterrupted: no suggestion without all four tests.")
		return out.Flush()
	}
	fmt.Fprintf(out, "\nsuggested: %s\n", policyFlags(advice))
	for _, why := range advice.Why {
		fmt.Fprintf(out, "  %s\n", why)
	}
	return out.Flush()
}

// policyFlags spells a policy as record's flags.
func policyFlags(a diskbench.Advice) string {
	if a.Sync != journal.SyncInterval || a.Every == 0 {
		return "--sync " + a.Sync.String()
	}
	return strings.TrimSpace(fmt.Sprintf("--sync %v --sync-every %v", a.Sync, a.Every))
}

// benchDiskJSON is what `bench-disk --json` prints. Fields are stable; new ones may be added.
type benchDiskJSON struct {
	Dir       string         `json:"dir"`
	Tests     []diskTestJSON `json:"tests"`
	Sync      string         `json:"suggested_sync,omitempty"`
	SyncEvery int64          `json:"suggested_sync_every_ns,omitempty"`
	Why       []string       `json:"why,omitempty"`
}

type diskTestJSON struct {
	Name      string  `json:"name"`
	Size      int     `json:"bytes"`
	Sync      bool    `json:"sync"`
	Calls     int     `json:"calls"`
	PerSecond float64 `json:"bytes_per_second"`
	P50       int64   `json:"p50_ns"`
	P90       int64   `json:"p90_ns"`
	P99       int64   `json:"p99_ns"`
	P999      int64   `json:"p999_ns"`
	Max       int64   `json:"max_ns"`
}

func newBenchDiskJSON(dir string, results []diskbench.Result, a diskbench.Advice, ok bool) benchDiskJSON {
	j := benchDiskJSON{Dir: dir, Tests: []diskTestJSON{}}
	for _, r := range results {
		j.Tests = append(j.Tests, diskTestJSON{
			Name: r.Name, Size: r.Size, Sync: r.Sync, Calls: r.Calls, PerSecond: r.PerSecond(),
			P50: int64(r.P50), P90: int64(r.P90), P99: int64(r.P99), P999: int64(r.P999), Max: int64(r.Max),
		})
	}
	if ok {
		j.Sync, j.SyncEvery, j.Why = a.Sync.String(), int64(a.Every), a.Why
	}
	return j
}

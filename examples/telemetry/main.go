// Telemetry is a small order gateway that records what it does: typed events,
// spans, counters and samples of stacks, from several goroutines, into an
// archive. Then it reads the archive back, says what took how long, and exports
// a trace for ui.perfetto.dev and a table of the orders with the tool.
//
//	go run ./examples/telemetry               # into a directory for temporary files, which is removed
//	go run ./examples/telemetry -dir /tmp/tel # stays, to look at: /tmp/tel/trace.perfetto-trace, /tmp/tel/orders.csv
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("telemetry: ")
	dir := flag.String("dir", "", "directory for the archive and the exports; default one for temporary files")
	tool := flag.String("logbuf", "", "the tool that exports; default logbuf, or go run of it where there is none")
	flag.Parse()
	if err := run(*dir, *tool, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(dir, tool string, out io.Writer) error {
	if dir == "" {
		temp, err := os.MkdirTemp("", "telemetry-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		dir = temp
	}
	archive := filepath.Join(dir, "archive")
	if err := record(archive, out); err != nil {
		return err
	}
	if err := summarize(archive, out); err != nil {
		return err
	}
	return export(dir, archive, tool, out)
}

// export runs the tool, as a user would.
func export(dir, archive, tool string, out io.Writer) error {
	command := []string{tool}
	if tool == "" {
		command = []string{"logbuf"}
		if _, err := exec.LookPath("logbuf"); err != nil {
			command = []string{"go", "run", "github.com/nexus-logbuf/logbuf/cmd/logbuf"}
		}
	}
	for _, args := range [][]string{
		{"--format", "perfetto", "--out", filepath.Join(dir, "trace.perfetto-trace")},
		{"--format", "csv", "--event", "order", "--out", filepath.Join(dir, "orders.csv")},
	} {
		args = append([]string{"export", archive, "--force"}, args...)
		fmt.Fprintf(out, "$ logbuf %s\n", strings.Join(args, " "))
		cmd := exec.CommandContext(context.Background(), command[0], append(slices.Clone(command[1:]), args...)...)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			if errors.Is(err, exec.ErrNotFound) {
				fmt.Fprintln(out, "neither logbuf nor go is in the PATH: run the two commands by hand")
				return nil
			}
			return fmt.Errorf("%s: %w", command[0], err)
		}
	}
	return nil
}

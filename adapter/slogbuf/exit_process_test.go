package slogbuf_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// A child of the tests finds here how to end, and where to log.
const childHow, childDir = "SLOGBUF_TEST_END", "SLOGBUF_TEST_DIR"

func TestMain(m *testing.M) {
	if how := os.Getenv(childHow); how != "" {
		child(how, os.Getenv(childDir))
		return
	}
	goleak.VerifyTestMain(m)
}

// ending is a way for a program to end, and what the archive has then of the
// line "last words", which it logs while the disk is as the case says.
type ending struct {
	name string
	hang bool // the disk takes nothing any more: what is not waited for is lost for certain; otherwise it is slow
	opts slogbuf.Options
	run  func(rec *recorder.Recorder, w *slogbuf.Writer)
	code int
	kept bool
}

var syncErrors = slogbuf.Options{SyncLevel: slog.LevelError}

var endings = []ending{
	{name: "os.Exit", hang: true, code: 3, run: func(*recorder.Recorder, *slogbuf.Writer) {
		slog.Error("last words")
		os.Exit(3)
	}},
	{name: "Flush, os.Exit", code: 3, kept: true, run: func(_ *recorder.Recorder, w *slogbuf.Writer) {
		slog.Info("last words")
		must(w.Flush(context.Background()))
		os.Exit(3)
	}},
	{name: "Close of the recorder, os.Exit", code: 3, kept: true, run: func(rec *recorder.Recorder, _ *slogbuf.Writer) {
		slog.Info("last words")
		must(rec.Close(context.Background()))
		os.Exit(3)
	}},
	{name: "SyncLevel, os.Exit", opts: syncErrors, code: 3, kept: true, run: func(*recorder.Recorder, *slogbuf.Writer) {
		slog.Error("last words")
		os.Exit(3)
	}},
	{name: "log.Fatal", hang: true, opts: syncErrors, code: 1, run: func(*recorder.Recorder, *slogbuf.Writer) {
		log.Fatal("last words") // a line of level INFO
	}},
	{name: "log.Fatal, SetLogLoggerLevel", opts: syncErrors, code: 1, kept: true, run: func(*recorder.Recorder, *slogbuf.Writer) {
		slog.SetLogLoggerLevel(slog.LevelError)
		log.Fatal("last words")
	}},
	{name: "killed, written before", code: -1, kept: true, run: func(_ *recorder.Recorder, w *slogbuf.Writer) {
		slog.Info("last words")
		for w.Stats().LagRecords > 0 { // until the archiver has written it; nothing is synced after that
			time.Sleep(time.Millisecond)
		}
		self, err := os.FindProcess(os.Getpid())
		must(err)
		must(self.Kill())
		select {}
	}},
	{name: "killed", hang: true, code: -1, run: func(*recorder.Recorder, *slogbuf.Writer) {
		slog.Info("last words")
		self, err := os.FindProcess(os.Getpid())
		must(err)
		must(self.Kill())
		select {}
	}},
	{name: "return from main", kept: true, run: func(rec *recorder.Recorder, _ *slogbuf.Writer) {
		defer rec.Close(context.Background())
		slog.Info("last words")
	}},
	{name: "panic in main", code: 2, kept: true, run: func(rec *recorder.Recorder, _ *slogbuf.Writer) {
		defer rec.Close(context.Background())
		slog.Info("last words")
		panic("in main")
	}},
	{name: "panic in another goroutine", hang: true, code: 2, run: func(rec *recorder.Recorder, _ *slogbuf.Writer) {
		defer rec.Close(context.Background()) // does not run
		go func() {
			slog.Info("last words")
			panic("in a goroutine")
		}()
		select {}
	}},
	{name: "panic in another goroutine, CloseOnPanic", code: 2, kept: true, run: func(rec *recorder.Recorder, _ *slogbuf.Writer) {
		go func() {
			defer rec.CloseOnPanic(time.Minute)
			slog.Info("last words")
			panic("in a goroutine")
		}()
		select {}
	}},
}

// child is the program that ends.
func child(how, dir string) {
	for _, e := range endings {
		if e.name != how {
			continue
		}
		var bad atomic.Bool
		disk := vfs.NewFault(nil)
		disk.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
			switch {
			case op.Kind != vfs.OpWrite || !bad.Load():
				return vfs.Verdict{}
			case e.hang:
				select {}
			}
			return vfs.Verdict{Delay: 100 * time.Millisecond}
		})
		rec, err := recorder.Open(dir, &recorder.Options{Journal: journal.Options{FS: disk}})
		must(err)
		w, err := slogbuf.NewWriter(rec, "app", nil)
		must(err)
		slog.SetDefault(slog.New(slogbuf.NewHandler(w, &e.opts)))
		slog.Info("first words")
		must(w.Flush(context.Background()))
		bad.Store(true)
		e.run(rec, w)
		return
	}
	must(fmt.Errorf("no ending %q", how))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(100)
	}
}

// What was waited for is in the archive, and what was not is lost when the disk
// is too slow. The archive is sound in any case.
func TestEndings(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childHow+"="+e.name, childDir+"="+dir)
			var stderr strings.Builder
			cmd.Stderr, cmd.Stdout = &stderr, io.Discard
			code := 0
			if err := cmd.Run(); err != nil {
				exit, ok := errors.AsType[*exec.ExitError](err)
				if !ok {
					t.Fatal(err)
				}
				code = exit.ExitCode()
			}
			if e.code < 0 && code > 0 {
				code = -1 // killed, on systems without signals
			}
			if code != e.code {
				t.Fatalf("exit code %d, want %d:\n%s", code, e.code, stderr.String())
			}
			recs, _ := read(t, dir)
			all := text(recs)
			if !strings.Contains(all, "first words") {
				t.Errorf("a line that was flushed is lost: %q", all)
			}
			if kept := strings.Contains(all, "last words"); kept != e.kept {
				t.Errorf("kept: %v, want %v: %q", kept, e.kept, all)
			}
		})
	}
}

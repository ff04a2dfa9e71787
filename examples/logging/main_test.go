package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// A child of the tests finds here how to end, and where to log.
const childHow, childDir = "LOGGING_TEST_END", "LOGGING_TEST_DIR"

func TestMain(m *testing.M) {
	if how := os.Getenv(childHow); how != "" {
		child(how, os.Getenv(childDir))
		return
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run("", &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"slog     8 lines, 1 lost\n", "zap      2 lines, 0 lost\n", "zerolog  2 lines, 0 lost\n",
		"slog     lost 1 line of 300", `slog     ERROR {"time"`, `"err":"unexpected EOF"}` + "\n",
		`zap            {"level":"info","ts":`, `zerolog  ERROR {"level":"error"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if n := strings.Count(out.String(), "\n"); t.Failed() || n != 3+13 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

// logs opens an archive on a disk that is slow, or hangs, once bad is set, and a
// writer to it.
func logs(dir string, hang bool, opts *recorder.ProducerOptions) (rec *recorder.Recorder, w *slogbuf.Writer, bad *atomic.Bool, resume func()) {
	bad = new(atomic.Bool)
	gate := make(chan struct{})
	disk := vfs.NewFault(nil)
	disk.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
		switch {
		case op.Kind != vfs.OpWrite || !bad.Load():
			return vfs.Verdict{}
		case hang:
			<-gate
			return vfs.Verdict{}
		}
		return vfs.Verdict{Delay: 100 * time.Millisecond}
	})
	rec, err := recorder.Open(dir, &recorder.Options{Journal: journal.Options{FS: disk}})
	must(err)
	w, err = slogbuf.NewWriter(rec, "app", opts)
	must(err)
	return rec, w, bad, func() { bad.Store(false); close(gate) }
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(100)
	}
}

// payloads reads the lines back.
func payloads(t *testing.T, dir string) (lines []string) {
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(rec.Payload))
	}
	return lines
}

// loggers are functions that make a line logger of each library over a writer.
// Lines have no time, so that two loggers write the same.
var loggers = map[string]func(w io.Writer) func(goroutine, n int, text string){
	"zap": func(w io.Writer) func(int, int, string) {
		config := zap.NewProductionEncoderConfig()
		config.TimeKey = ""
		log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(config), zapcore.AddSync(w), zapcore.InfoLevel))
		return func(g, n int, text string) {
			log.Info("line", zap.Int("g", g), zap.Int("n", n), zap.String("text", text))
		}
	},
	"zerolog": func(w io.Writer) func(int, int, string) {
		log := zerolog.New(w)
		return func(g, n int, text string) { log.Info().Int("g", g).Int("n", n).Str("text", text).Msg("line") }
	},
	"zerolog with levels": func(w io.Writer) func(int, int, string) {
		if sw, ok := w.(*slogbuf.Writer); ok {
			w = leveled{sw}
		}
		log := zerolog.New(w)
		return func(g, n int, text string) { log.Info().Int("g", g).Int("n", n).Str("text", text).Msg("line") }
	},
}

// Each line of each library is one record, whole, and with the bytes that the
// library writes to a file, from many goroutines at once and with lines of
// lengths for which they grow and reuse their buffers.
func TestOneLineIsOneRecord(t *testing.T) {
	for name, logger := range loggers {
		t.Run(name, func(t *testing.T) {
			const goroutines, lines = 4, 300
			dir := t.TempDir()
			rec, w, _, _ := logs(dir, false, &recorder.ProducerOptions{Overload: recorder.OverloadWait})
			log := logger(w)
			var wg sync.WaitGroup
			for g := range goroutines {
				wg.Go(func() {
					for n := range lines {
						log(g, n, strings.Repeat(string(rune('a'+g)), n*13%4096))
					}
				})
			}
			wg.Wait()
			if err := rec.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, line := range payloads(t, dir) {
				got[line]++
			}
			for g := range goroutines {
				for n := range lines {
					var want bytes.Buffer
					logger(&want)(g, n, strings.Repeat(string(rune('a'+g)), n*13%4096))
					if got[want.String()] != 1 {
						t.Fatalf("%d times %q", got[want.String()], want.String())
					}
				}
			}
			if len(got) != goroutines*lines {
				t.Errorf("%d different lines", len(got))
			}
		})
	}
}

// Lines that are dropped while the disk hangs cost the caller nothing: neither
// library hears of an error, which it would write to stderr.
func TestDroppedLinesAreNoErrors(t *testing.T) {
	var errs bytes.Buffer
	zerolog.ErrorHandler = func(err error) { fmt.Fprintln(&errs, err) }
	defer func() { zerolog.ErrorHandler = nil }()
	rec, w, bad, resume := logs(t.TempDir(), true, &recorder.ProducerOptions{LaneSize: 4096})
	bad.Store(true)
	z := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), w, zapcore.InfoLevel),
		zap.ErrorOutput(zapcore.AddSync(&errs)))
	zl := zerolog.New(w)
	for range 500 {
		z.Info("while the disk hangs")
		zl.Info().Msg("while the disk hangs")
	}
	if st := w.Stats(); st.Lost < 500 || errs.Len() > 0 {
		t.Errorf("%d lines lost; errors: %s", st.Lost, errs.String())
	}
	resume()
	if err := rec.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// endings are ways for a program to end, while the disk is slow or hangs.
var endings = map[string]struct {
	hang bool // for those that lose the line
	run  func(w *slogbuf.Writer)
	code int
	kept bool
}{
	"zap Fatal":   {code: 1, kept: true, run: func(w *slogbuf.Writer) { newZap(w).Fatal("last words") }},
	"zap Panic":   {code: 2, kept: true, run: func(w *slogbuf.Writer) { newZap(w).Panic("last words") }},
	"zap os.Exit": {hang: true, code: 3, run: func(w *slogbuf.Writer) { newZap(w).Error("last words"); os.Exit(3) }},
	"zap Sync, os.Exit": {code: 3, kept: true, run: func(w *slogbuf.Writer) {
		log := newZap(w)
		log.Error("last words")
		must(log.Sync())
		os.Exit(3)
	}},
	"zerolog Fatal":             {code: 1, kept: true, run: func(w *slogbuf.Writer) { log := zerolog.New(w); log.Fatal().Msg("last words") }},
	"zerolog with levels Fatal": {code: 1, kept: true, run: func(w *slogbuf.Writer) { log := zerolog.New(leveled{w}); log.Fatal().Msg("last words") }},
	"zerolog Panic":             {hang: true, code: 2, run: func(w *slogbuf.Writer) { log := zerolog.New(w); log.Panic().Msg("last words") }},
	"zerolog os.Exit":           {hang: true, code: 3, run: func(w *slogbuf.Writer) { log := zerolog.New(w); log.Error().Msg("last words"); os.Exit(3) }},
}

func newZap(w *slogbuf.Writer) *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), w, zapcore.InfoLevel))
}

func child(how, dir string) {
	e := endings[how]
	_, w, bad, _ := logs(dir, e.hang, nil)
	_, err := w.Write([]byte("first words\n"))
	must(err)
	must(w.Sync())
	bad.Store(true)
	e.run(w)
}

// Fatal of both libraries, and zap's Panic, wait for the disk by themselves.
func TestEndings(t *testing.T) {
	for name, e := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childHow+"="+name, childDir+"="+dir)
			output, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != e.code {
				t.Fatalf("exit code %d, want %d:\n%s", code, e.code, output)
			}
			all := strings.Join(payloads(t, dir), "")
			if kept := strings.Contains(all, "last words"); kept != e.kept || !strings.Contains(all, "first words") {
				t.Errorf("kept: %v, want %v: %q", kept, e.kept, all)
			}
		})
	}
}

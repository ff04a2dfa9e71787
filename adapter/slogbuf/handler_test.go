package slogbuf_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// results reads lines back for slogtest.
func results(t *testing.T, lines string, asText bool) (ms []map[string]any) {
	for line := range strings.Lines(lines) {
		m := map[string]any{}
		if asText {
			m = parseText(t, strings.TrimSuffix(line, "\n"))
		} else if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		ms = append(ms, m)
	}
	return ms
}

// parseText reads the lines that slogtest makes, in which nothing is quoted
// that has a space or an equals sign.
func parseText(t *testing.T, line string) map[string]any {
	top := map[string]any{}
	for field := range strings.SplitSeq(line, " ") {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			t.Fatalf("%q in %q", field, line)
		}
		m, names := top, strings.Split(key, ".")
		for _, group := range names[:len(names)-1] {
			if m[group] == nil {
				m[group] = map[string]any{}
			}
			m = m[group].(map[string]any)
		}
		m[names[len(names)-1]] = value
	}
	return top
}

func TestSlogtest(t *testing.T) {
	for _, asText := range []bool{false, true} {
		t.Run(fmt.Sprintf("text=%v", asText), func(t *testing.T) {
			l := open(t, nil)
			h := slogbuf.NewHandler(l.w, &slogbuf.Options{Text: asText})
			err := slogtest.TestHandler(h, func() []map[string]any {
				recs, _ := l.records()
				return results(t, text(recs), asText)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// The same from many goroutines at once, each with a stream of its own.
func TestSlogtestConcurrently(t *testing.T) {
	const n = 8
	l := open(t, nil)
	var handlers [n]slog.Handler
	for i := range handlers {
		w, err := slogbuf.NewWriter(l.rec, fmt.Sprint(i), &recorder.ProducerOptions{LaneSize: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		handlers[i] = slogbuf.NewHandler(w, &slogbuf.Options{Text: i%2 == 0})
	}
	var logged, tested sync.WaitGroup
	logged.Add(n)
	var byStream [n]strings.Builder
	collect := sync.OnceFunc(func() {
		recs, _ := l.records()
		for _, r := range recs {
			byStream[int(r.Stream)-2].Write(r.Payload) // the first stream is the writer's of open
		}
	})
	for i, h := range handlers {
		tested.Go(func() {
			err := slogtest.TestHandler(h, func() []map[string]any {
				logged.Done()
				logged.Wait()
				collect()
				return results(t, byStream[i].String(), i%2 == 0)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	tested.Wait()
}

// Many goroutines use one logger and loggers derived from it. Every line
// arrives, whole, and those of a goroutine in order.
func TestManyGoroutines(t *testing.T) {
	const goroutines, lines = 8, 1000
	l := open(t, &recorder.ProducerOptions{Overload: recorder.OverloadWait, LaneSize: 16 << 10})
	log := slog.New(slogbuf.NewHandler(l.w, nil))
	shared := log.With("shared", "yes").WithGroup("g")
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for n := range lines {
				switch n % 3 {
				case 0:
					log.Info("a", "goroutine", g, "n", n)
				case 1:
					shared.Info("b", "goroutine", g, "n", n)
				default:
					log.With("goroutine", g).Info("c", "n", n)
				}
			}
		})
	}
	wg.Wait()
	recs, losses := l.records()
	if len(recs) != goroutines*lines || len(losses) > 0 {
		t.Fatalf("%d records and %d losses of %d lines", len(recs), len(losses), goroutines*lines)
	}
	var next [goroutines]int
	for _, r := range recs {
		var line struct {
			Msg       string
			Goroutine int
			N         int
			Shared    string
			G         struct{ Goroutine, N int }
		}
		if err := json.Unmarshal(r.Payload, &line); err != nil {
			t.Fatalf("%v in %q", err, r.Payload)
		}
		if line.Shared == "yes" {
			line.Goroutine, line.N = line.G.Goroutine, line.G.N
		}
		if line.N != next[line.Goroutine] || line.Msg != string(rune('a'+line.N%3)) {
			t.Fatalf("%q where line %d of its goroutine should be", r.Payload, next[line.Goroutine])
		}
		next[line.Goroutine]++
	}
}

// While the disk hangs no call waits: this test ends, with the disk still
// hanging. What is lost is counted, recorded, and said in the log.
func TestNeverBlocks(t *testing.T) {
	const lines = 5000
	l := open(t, &recorder.ProducerOptions{LaneSize: 4096})
	h := slogbuf.NewHandler(l.w, nil)
	log := slog.New(h)
	l.hang()
	full := 0
	for n := range lines {
		r := slog.NewRecord(time.Now(), slog.LevelInfo, "while the disk hangs", 0)
		r.AddAttrs(slog.Int("n", n))
		if err := h.Handle(context.Background(), r); err == queue.ErrFull {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if st := l.w.Stats(); st.Lost != uint64(full) || full < lines/2 {
		t.Fatalf("%d calls found the lane full, %d counted as lost", full, st.Lost)
	}
	short := 0 // these still find room
	for ; l.w.Stats().Lost == uint64(full); short++ {
		if n, err := l.w.Write([]byte("short\n")); n != 6 || err != nil {
			t.Fatalf("Write to a full lane is %d, %v: loggers would write the error to stderr", n, err)
		}
	}
	l.resume()
	if err := l.w.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	log.Info("after it")
	log.Info("the end")

	recs, losses := l.records()
	var lost uint64
	for _, loss := range losses {
		lost += loss.Records
	}
	want := lines - full + short - 1 + 3 // the two lines, and the one about those that were dropped
	if int(lost) != full+1 || len(recs) != want {
		t.Errorf("the archive has %d lines, %d lost; want %d and %d", len(recs), lost, want, full+1)
	}
	all := text(recs)
	if report := fmt.Sprintf(`"level":"WARN","msg":"slogbuf: log lines were dropped","lines":%d}`, full); strings.Count(all, report) != 1 {
		t.Errorf("no line says %s:\n%s", report, all[len(all)-400:])
	}
}

// A line longer than the lane can take is replaced by one that says so.
func TestTooLong(t *testing.T) {
	l := open(t, &recorder.ProducerOptions{LaneSize: 4096})
	h := slogbuf.NewHandler(l.w, nil)
	r := slog.NewRecord(time.Now(), slog.LevelError, "begins like this "+strings.Repeat("é", 300), 0)
	r.AddAttrs(slog.String("big", strings.Repeat("x", 5000)))
	if err := h.WithAttrs([]slog.Attr{slog.Int("a", 1)}).Handle(context.Background(), r); !errors.Is(err, queue.ErrTooLarge) {
		t.Error(err)
	}
	if n, err := l.w.Write(make([]byte, 5000)); n != 0 || !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("Write is %d, %v", n, err)
	}
	recs, losses := l.records()
	if len(recs) != 1 || len(losses) != 2 {
		t.Fatalf("%d records, %d losses", len(recs), len(losses))
	}
	level, _ := slogbuf.LevelOf(recs[0])
	if level != slog.LevelError || recs[0].Time != r.Time.UnixNano() {
		t.Errorf("level %v, time %v of the line in its place", level, recs[0].Time)
	}
	var line struct {
		Msg, Begins  string
		Bytes, Limit int
	}
	if err := json.Unmarshal(recs[0].Payload, &line); err != nil {
		t.Fatal(err)
	}
	if line.Msg != "slogbuf: a line was too long" || line.Limit != 4096-24 || line.Bytes < 5600 || line.Begins != "begins like this "+strings.Repeat("é", 119) {
		t.Errorf("%+v", line)
	}
}

// Handlers that are derived from one have nothing of each other.
func TestSiblings(t *testing.T) {
	l := open(t, nil)
	parent := slog.New(slogbuf.NewHandler(l.w, nil)).With("a", 1).With("b", 2).With("c", 3)
	first, second, group := parent.With("first", true), parent.With("second", true), parent.WithGroup("g").With("d", 4)
	group2 := parent.WithGroup("h")
	first.Info("")
	second.Info("")
	group.Info("", "e", 5)
	group2.Info("", "e", 6)
	parent.Info("")
	recs, _ := l.records()
	for i, want := range []string{`,"first":true}`, `,"second":true}`, `,"g":{"d":4,"e":5}}`, `,"h":{"e":6}}`, `}`} {
		if got := string(recs[i].Payload); !strings.HasSuffix(got, `"msg":"","a":1,"b":2,"c":3`+want+"\n") {
			t.Errorf("line %d is %s", i, got)
		}
	}
}

// SyncLevel makes lines of that level durable before the call returns.
func TestSyncLevel(t *testing.T) {
	l := open(t, nil)
	log := slog.New(slogbuf.NewHandler(l.w, &slogbuf.Options{SyncLevel: slog.LevelError}))
	l.hang()
	log.Warn("returns while the disk hangs")
	done := make(chan struct{})
	go func() {
		defer close(done)
		log.Error("waits")
	}()
	for l.w.Stats().LagRecords+l.w.Stats().Records < 2 {
		time.Sleep(time.Millisecond) // until both lines are in the lane
	}
	select {
	case <-done:
		t.Error("an error was logged before it can be durable")
	default:
	}
	l.resume()
	<-done
	if st := l.rec.Stats(); st.UndurableRecords != 0 {
		t.Errorf("%d records are not durable", st.UndurableRecords)
	}
}

// SyncLevel waits for what is before a line that is lost, and for what takes its
// place: the program may end behind it.
func TestSyncLevelOfLostLines(t *testing.T) {
	tests := []struct {
		name  string
		size  int // of each line
		lines int // then the lane is full
	}{
		{"dropped", 900, 4},
		{"too long", 5000, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := open(t, &recorder.ProducerOptions{LaneSize: 4096})
			log := slog.New(slogbuf.NewHandler(l.w, &slogbuf.Options{SyncLevel: slog.LevelError}))
			l.hang()
			long := strings.Repeat("x", test.size)
			for range test.lines {
				log.Warn("while the disk hangs", "long", long)
			}
			before := l.w.Stats().Lost
			done := make(chan struct{})
			go func() {
				defer close(done)
				log.Error("while the disk hangs", "long", long)
			}()
			for l.w.Stats().Lost == before {
				time.Sleep(time.Millisecond) // until the line was offered
			}
			l.resume()
			<-done
			if st := l.rec.Stats(); st.UndurableRecords != 0 {
				t.Errorf("%d records are not durable", st.UndurableRecords)
			}
		})
	}
}

// After Close lines are refused, and the logger goes on.
func TestAfterClose(t *testing.T) {
	l := open(t, nil)
	h := slogbuf.NewHandler(l.w, nil)
	log := slog.New(h)
	log.Info("one")
	if err := l.w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := l.rec.Stats().UndurableRecords; n != 0 {
		t.Errorf("%d records are not durable after Close", n)
	}
	log.Info("two")
	err := h.Handle(context.Background(), slog.NewRecord(time.Now(), 0, "three", 0))
	if _, werr := l.w.Write([]byte("four")); !errors.Is(err, recorder.ErrClosed) || !errors.Is(werr, recorder.ErrClosed) {
		t.Errorf("Handle: %v, Write: %v", err, werr)
	}
	if err := l.w.Close(); err != nil {
		t.Error("Close again:", err)
	}
	if recs, losses := l.records(); len(recs) != 1 || len(losses) != 0 {
		t.Errorf("%d records, %d losses", len(recs), len(losses))
	}
}

func TestNewWriterErrors(t *testing.T) {
	l := open(t, nil)
	if _, err := slogbuf.NewWriter(l.rec, "x", &recorder.ProducerOptions{Overload: recorder.OverloadFail}); err == nil || !strings.Contains(err.Error(), "OverloadFail") {
		t.Error(err)
	}
	if _, err := slogbuf.NewWriter(l.rec, "", nil); err == nil {
		t.Error("a stream without a name")
	}
	if _, err := slogbuf.NewWriter(l.rec, stream, nil); err != nil {
		t.Error("a second writer of the same stream:", err)
	}
}

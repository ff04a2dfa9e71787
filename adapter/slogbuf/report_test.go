package slogbuf_test

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// message is a line's message, and the rest of the line.
var message = regexp.MustCompile(`"msg":"(.*?)"?}\n`)

// Lines that were dropped are reported once, at most every second, and when
// there is room for the report.
func TestReportsOfDroppedLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, &recorder.ProducerOptions{LaneSize: 4096})
		h := slogbuf.NewHandler(l.w, nil)
		log := func(msg string) bool {
			err := h.Handle(context.Background(), slog.NewRecord(time.Time{}, 0, msg, 0))
			if err != nil && err != queue.ErrFull {
				t.Fatal(err)
			}
			return err == nil
		}
		// overflow fills the lane with five lines of 800 bytes and drops n. What
		// is left takes a short line, and no report.
		long := strings.Repeat("x", 800-16-27)
		overflow := func(n int) {
			l.hang()
			for i := range 5 + n {
				if ok := log(long); ok != (i < 5) {
					t.Fatalf("line %d is written: %v", i, ok)
				}
			}
			if !log("short") {
				t.Fatal("no room for a short line")
			}
		}
		overflow(3)
		l.resume()
		_ = l.w.Flush(context.Background())
		log("no report yet: it was tried less than a second ago")
		time.Sleep(time.Second)
		log("reports 3")
		log("reports nothing")
		recs, _ := l.records()
		var got []string
		for _, m := range message.FindAllStringSubmatch(text(recs), -1) {
			got = append(got, strings.ReplaceAll(m[1], long, "long"))
		}
		want := []string{"long", "long", "long", "long", "long", "short", "no report yet: it was tried less than a second ago",
			"reports 3", `slogbuf: log lines were dropped","lines":3`, "reports nothing"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	})
}

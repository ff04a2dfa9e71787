package capture

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

func TestNoticesAreToldOnce(t *testing.T) {
	var said []string
	n := notices{dir: "day1", warn: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
	full := time.Now().Add(-time.Minute)
	steps := []struct {
		stats journal.Stats
		want  string // empty: nothing new
	}{
		{journal.Stats{}, ""},
		{journal.Stats{FullSince: full}, "day1: the disk is full"},
		{journal.Stats{FullSince: full}, ""},
		{journal.Stats{}, "space on the disk again after 1m0"},
		{journal.Stats{FullSince: full}, "the disk is full"},
		{journal.Stats{Takeovers: 1, SegmentFile: "x.lbj"}, "space on the disk again"},
		{journal.Stats{Takeovers: 1}, ""},
		{journal.Stats{Takeovers: 3, SegmentFile: "y.lbj"}, "y.lbj took over, and nothing was lost"},
		{journal.Stats{Takeovers: 3, KeepErr: errors.New("held by a cursor")}, "day1: held by a cursor; the recording goes on"},
		{journal.Stats{Takeovers: 3, KeepErr: errors.New("held by a cursor")}, ""},
		{journal.Stats{Takeovers: 3}, ""},
		{journal.Stats{Takeovers: 3, KeepErr: errors.New("held by a cursor")}, "held"},
	}
	for i, s := range steps {
		before := len(said)
		n.see(&s.stats)
		fresh := said[before:]
		if s.want == "" && len(fresh) > 0 || s.want != "" && !slices.ContainsFunc(fresh, func(l string) bool { return strings.Contains(l, s.want) }) {
			t.Errorf("step %d says %q, want %q", i, fresh, s.want)
		}
	}
}

package diskbench

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
)

func TestRunMeasuresAndCleansUp(t *testing.T) {
	dir := t.TempDir()
	slow := vfs.NewFault(nil)
	slow.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
		if op.Kind == vfs.OpSync {
			return vfs.Verdict{Delay: 3 * time.Millisecond}
		}
		return vfs.Verdict{}
	})
	calls := 0
	results, err := Run(t.Context(), dir, &Options{
		Time: 20 * time.Millisecond, FS: slow, Progress: func(string, time.Duration, time.Duration) { calls++ },
	})
	if err != nil || len(results) != len(tests) {
		t.Fatal(results, err)
	}
	total := 0
	for _, r := range results {
		total += r.Calls
		if r.Calls == 0 || r.P50 > r.P90 || r.P90 > r.P99 || r.P99 > r.P999 || r.P999 > r.Max || r.Took < r.Max || r.PerSecond() <= 0 {
			t.Errorf("%+v", r)
		}
		if r.Sync && r.P50 < 3*time.Millisecond {
			t.Errorf("%s: the sync is not in the time: %+v", r.Name, r)
		}
	}
	if calls != total {
		t.Errorf("%d calls of progress for %d calls to the disk", calls, total)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestRunEnds(t *testing.T) {
	for name, end := range map[string]func(cancel func()) error{
		"cancelled": func(cancel func()) error { cancel(); return nil },
		"disk full": func(func()) error { return syscall.ENOSPC },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			dir, n := t.TempDir(), 0
			bad := vfs.NewFault(nil)
			bad.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
				if op.Kind != vfs.OpWrite {
					return vfs.Verdict{}
				}
				if n++; n == 3 {
					return vfs.Verdict{Err: end(cancel)}
				}
				return vfs.Verdict{}
			})
			_, err := Run(ctx, dir, &Options{Time: time.Hour, FS: bad})
			if !errors.Is(err, context.Canceled) && !errors.Is(err, syscall.ENOSPC) {
				t.Error(err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestAdvise(t *testing.T) {
	figures := func(p50, p99 time.Duration) []Result {
		return []Result{
			{Size: 64 << 10, Calls: 10, Took: time.Millisecond, Max: time.Millisecond},
			{Size: 4 << 10, Sync: true, P50: p50, P99: p99, Max: p99},
			{Size: 1 << 20, Sync: true, Calls: 10, Took: time.Second, Max: 70 * time.Millisecond},
		}
	}
	tests := []struct {
		name     string
		p50, p99 time.Duration
		sync     journal.Sync
		every    time.Duration
		want     string
	}{
		{"memory", time.Microsecond, 10 * time.Microsecond, journal.SyncBatch, 0, "no power cut"},
		{"NVMe", 80 * time.Microsecond, 900 * time.Microsecond, journal.SyncBatch, 0, "batch"},
		{"SATA", 3 * time.Millisecond, 8 * time.Millisecond, journal.SyncInterval, 10 * time.Millisecond, "18ms at most"},
		{"spinning", 12 * time.Millisecond, 40 * time.Millisecond, journal.SyncInterval, 80 * time.Millisecond, "120ms at most"},
	}
	for _, tc := range tests {
		a, ok := Advise(figures(tc.p50, tc.p99))
		if !ok || a.Sync != tc.sync || a.Every != tc.every || !strings.Contains(strings.Join(a.Why, " "), tc.want) {
			t.Errorf("%s: %+v", tc.name, a)
		}
		if !strings.Contains(strings.Join(a.Why, " "), "10 MiB/s") || !strings.Contains(strings.Join(a.Why, " "), "70ms") {
			t.Errorf("%s: %v", tc.name, a.Why)
		}
	}
	if _, ok := Advise(figures(1, 1)[:2]); ok {
		t.Error("advice without all tests")
	}
}

package config

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/spf13/pflag"
)

// What is accepted here is accepted by the packages that it is for: the limits
// lie within theirs.
func TestLimits(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(*Recording, *Source)
		ok   bool
	}{
		{"defaults", func(*Recording, *Source) {}, true},
		{"least", func(r *Recording, s *Source) {
			r.SegmentSize, r.SyncEvery, r.Retain, r.Reserve, s.Ring = minSegment, cli.Duration(minSyncEvery), minRetain, minReserve, minRing
		}, true},
		{"most", func(r *Recording, s *Source) {
			r.SegmentSize, r.SyncEvery, r.Retain = maxSegment, cli.Duration(24*time.Hour), maxRetain
		}, true},
		{"segment-size", func(r *Recording, _ *Source) { r.SegmentSize = minSegment - 1 }, false},
		{"segment-size, above", func(r *Recording, _ *Source) { r.SegmentSize = maxSegment + 1 }, false},
		{"sync-every", func(r *Recording, _ *Source) { r.SyncEvery = cli.Duration(minSyncEvery) - 1 }, false},
		{"retain", func(r *Recording, _ *Source) { r.Retain = minRetain - 1 }, false},
		{"retain, above", func(r *Recording, _ *Source) { r.Retain = maxRetain + 1 }, false},
		{"reserve", func(r *Recording, _ *Source) { r.Reserve = minReserve - 1 }, false},
		{"reserve, above", func(r *Recording, _ *Source) { r.Reserve = maxReserve + 1 }, false},
		{"ring", func(_ *Recording, s *Source) { s.Ring = minRing - 1 }, false},
		{"ring, above", func(_ *Recording, s *Source) { s.Ring = maxRing + 1 }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r Recording
			var s Source
			flags := pflag.NewFlagSet("", pflag.ContinueOnError)
			r.AddFlags(flags)
			s.AddFlags(flags)
			r.Dir = filepath.Join(t.TempDir(), "a")
			tc.set(&r, &s)
			cfg, err := FromArgs(&r, &s, []string{"-"}, nil)
			if (err == nil) != tc.ok {
				t.Fatal(err)
			}
			if !tc.ok {
				return
			}
			rec, err := recorder.Open(cfg.Dir, &recorder.Options{Journal: cfg.Journal, LaneSize: cfg.Sources[0].Ring, MemoryLimit: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			if err := rec.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

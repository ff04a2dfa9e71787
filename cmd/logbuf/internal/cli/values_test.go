package cli

import (
	"math"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for _, test := range []struct {
		text string
		want Size
		back string // what String gives; empty = text
	}{
		{"0", 0, ""}, {"4096", 4096, "4KiB"}, {"64KiB", 65536, ""}, {"64kib", 65536, "64KiB"}, {"4MB", 4_000_000, "4000000"},
		{"1.5 MiB", 3 << 19, "1536KiB"}, {"3GiB", 3 << 30, ""}, {"1000", 1000, ""}, {"1k", 1000, "1000"},
	} {
		var s Size
		if err := s.Set(test.text); err != nil || s != test.want {
			t.Errorf("%q is %d, error %v; want %d", test.text, s, err, test.want)
		}
		back := test.back
		if back == "" {
			back = test.text
		}
		if s.String() != back {
			t.Errorf("%d prints as %q, want %q", s, s.String(), back)
		}
		var again Size
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%q does not read back: %d, error %v", s.String(), again, err)
		}
	}
	for _, bad := range []string{"", "x", "-1", "4XB", "99999999999GiB", "9EiB", "KiB"} {
		s := Size(7)
		if err := s.Set(bad); err == nil || s != 7 {
			t.Errorf("%q is accepted as %d", bad, s)
		}
	}
}

func TestDuration(t *testing.T) {
	for _, test := range []struct {
		text string
		want time.Duration
		back string
	}{
		{"250ms", 250 * time.Millisecond, "250ms"}, {"5m", 5 * time.Minute, "5m"}, {"1h", time.Hour, "1h"}, {"90m", 90 * time.Minute, "1h30m"},
		{"7d", 168 * time.Hour, "168h"}, {"1.5d", 36 * time.Hour, "36h"}, {"0", 0, "0s"}, {" 3s ", 3 * time.Second, "3s"}, {"1h0m5s", time.Hour + 5*time.Second, "1h0m5s"},
	} {
		var d Duration
		if err := d.Set(test.text); err != nil || time.Duration(d) != test.want || d.String() != test.back {
			t.Errorf("%q is %v (%v), error %v; want %v", test.text, time.Duration(d), d, err, test.want)
		}
	}
	for _, bad := range []string{"", "5", "-1s", "d", "xd", "NaNd", "1e300d", "5 parsecs", "-3d"} {
		if d, err := ParseDuration(bad); err == nil {
			t.Errorf("%q is accepted as %v", bad, d)
		}
	}
}

func TestSpeed(t *testing.T) {
	for text, want := range map[string]Speed{"1x": 1, "10x": 10, "0.5x": 0.5, "60": 60, "max": 0} {
		s := Speed(-1)
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%q is %v, error %v; want %v", text, float64(s), err, float64(want))
		}
		again := Speed(-1)
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%q does not read back", s.String())
		}
	}
	for _, bad := range []string{"", "x", "0", "0x", "-1x", "inf", "NaN", "fast", "1e999x"} {
		s := Speed(7)
		if err := s.Set(bad); err == nil || s != 7 {
			t.Errorf("%q is accepted as %v", bad, float64(s))
		}
	}
}

func TestWhen(t *testing.T) {
	berlin := time.FixedZone("", 2*60*60)
	defer func(old *time.Location) { time.Local = old }(time.Local)
	time.Local = berlin
	now := time.Date(2026, 11, 21, 9, 30, 0, 5, time.UTC)
	for _, test := range []struct {
		text string
		want time.Time
	}{
		{"2026-11-21T09:30:00.123456789Z", time.Date(2026, 11, 21, 9, 30, 0, 123456789, time.UTC)},
		{"2026-11-21T09:30:00+01:00", time.Date(2026, 11, 21, 8, 30, 0, 0, time.UTC)},
		{"2026-11-21 09:30:00.5Z", time.Date(2026, 11, 21, 9, 30, 0, 5e8, time.UTC)},
		{"2026-11-21T09:30:00.5", time.Date(2026, 11, 21, 9, 30, 0, 5e8, berlin)},
		{"2026-11-21 09:30", time.Date(2026, 11, 21, 9, 30, 0, 0, berlin)},
		{"2026-11-21", time.Date(2026, 11, 21, 0, 0, 0, 0, berlin)},
		{"now", now}, {"-15m", now.Add(-15 * time.Minute)}, {"-2d", now.Add(-48 * time.Hour)},
		{"0", time.Unix(0, 0)}, {"1763717400000000001", time.Unix(0, 1763717400000000001)}, {"-5", time.Unix(0, -5)},
	} {
		got, err := parseWhen(test.text, now)
		if err != nil || got != test.want.UnixNano() {
			t.Errorf("%q is %v, error %v; want %v", test.text, time.Unix(0, got).UTC(), err, test.want.UTC())
		}
	}
	for _, bad := range []string{"", "yesterday", "15m", "2026-13-01", "9999-01-01", "0001-01-01", "99999999999999999999", "-", "--5m"} {
		if got, err := parseWhen(bad, now); err == nil {
			t.Errorf("%q is accepted as %v", bad, got)
		}
	}
}

func TestHuman(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{Bytes(0), "0 B"}, {Bytes(int64(1536)), "1.5 KiB"}, {Bytes(uint64(math.MaxUint64)), "16 EiB"}, {Bytes(-2048), "-2.0 KiB"},
		{Count(1234567), "1,234,567"}, {Count(uint64(math.MaxUint64)), "18446744073709551615"}, {Count(-1000), "-1,000"},
		{Plural(1, "record"), "1 record"}, {Plural(uint64(2000), "record"), "2,000 records"}, {Plural(0, "record"), "0 records"},
		{Elapsed(0), "0s"}, {Elapsed(999), "999ns"}, {Elapsed(1234567), "1.23ms"}, {Elapsed(123456789), "123ms"}, {Elapsed(12345678), "12.3ms"},
		{Elapsed(1234567890), "1.23s"}, {Elapsed(12345678901), "12.3s"}, {Elapsed(11523 * time.Second), "3h12m3s"}, {Elapsed(5 * time.Minute), "5m"},
		{Elapsed(-1234567890), "-1.23s"},
		{Rate(0, 0), "-"}, {Rate(5, 10*time.Second), "0.5/s"}, {Rate(850, time.Second), "850/s"}, {Rate(999_700, time.Second), "1M/s"},
		{Rate(12345, time.Second), "12.3k/s"}, {Rate(999, time.Second), "999/s"}, {Rate(uint64(2e10), time.Second), "20G/s"},
		{ByteRate(12<<20, time.Second), "12 MiB/s"}, {ByteRate(1, -1), "-"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

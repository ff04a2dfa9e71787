package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// When is a flag value: a point in time, in nanoseconds since the Unix epoch. It reads RFC 3339 with or without
// fractions, the same without a zone (local time), a date (its first instant, local), "now", a time before now ("-15m",
// "-2d"), and an integer of nanoseconds since the epoch.
type When struct {
	Given bool
	Nanos int64
	text  string
}

// whenLayouts are tried in order; Go reads fractions of a second after the seconds of any of them.
var whenLayouts = []string{
	time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05",
	"2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly,
}

// Set implements pflag.Value.
func (w *When) Set(text string) error {
	t, err := parseWhen(strings.TrimSpace(text), time.Now())
	if err != nil {
		return err
	}
	*w = When{Given: true, Nanos: t, text: text}
	return nil
}

// String implements pflag.Value.
func (w *When) String() string { return w.text }

// Type implements pflag.Value; it is the word that help prints.
func (*When) Type() string { return "time" }

func parseWhen(text string, now time.Time) (int64, error) {
	if text == "now" {
		return now.UnixNano(), nil
	}
	if ago, ok := strings.CutPrefix(text, "-"); ok {
		if d, err := ParseDuration(ago); err == nil {
			return now.Add(-time.Duration(d)).UnixNano(), nil
		}
	}
	if ns, err := strconv.ParseInt(text, 10, 64); err == nil {
		return ns, nil
	}
	for _, layout := range whenLayouts {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return nanosOf(text, t)
		}
	}
	return 0, fmt.Errorf("%q is not a time: write 2026-11-21T09:30:00.123Z, 2026-11-21 09:30 (local), 2026-11-21, -15m, now, "+
		"or nanoseconds since 1970", text)
}

// nanosOf refuses times that int64 nanoseconds cannot hold.
func nanosOf(text string, t time.Time) (int64, error) {
	const first, last = 1678, 2261
	if y := t.UTC().Year(); y < first || y > last {
		return 0, fmt.Errorf("time %q is outside the years %d to %d", text, first, last)
	}
	return t.UnixNano(), nil
}

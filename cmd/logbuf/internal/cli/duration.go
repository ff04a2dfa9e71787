package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a flag value in nanoseconds that is never negative. It reads what time.ParseDuration reads, and whole
// or fractional days ("7d", "1.5d").
type Duration time.Duration

// ParseDuration reads s as Duration does.
func ParseDuration(s string) (Duration, error) {
	d, err := parseDuration(strings.TrimSpace(s))
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write a number and a unit (250ms, 10s, 5m, 1h30m, 7d)", s)
	}
	if d < 0 {
		return 0, fmt.Errorf("duration %q is negative", s)
	}
	return Duration(d), nil
}

func parseDuration(s string) (time.Duration, error) {
	days, ok := strings.CutSuffix(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseFloat(days, 64)
	if err != nil {
		return 0, err
	}
	ns := n * float64(24*time.Hour)
	if !(ns > -float64(1<<63) && ns < float64(1<<63)) { // also refuses NaN
		return 0, strconv.ErrRange
	}
	return time.Duration(ns), nil
}

// Set implements pflag.Value.
func (d *Duration) Set(text string) error {
	v, err := ParseDuration(text)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// String writes the duration so that Set reads it back, without trailing zero units ("5m", not "5m0s").
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Type implements pflag.Value; it is the word that help prints.
func (Duration) Type() string { return "duration" }

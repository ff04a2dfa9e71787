package cli

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
)

// Bytes writes a number of bytes in powers of 1024: "512 B", "1.5 MiB".
func Bytes[N int | int64 | uint64 | Size](n N) string {
	if n < 0 {
		return "-" + humanize.IBytes(uint64(-n))
	}
	return humanize.IBytes(uint64(n))
}

// Count writes a number of things with separators: "1,234,567".
func Count[N int | int64 | uint64](n N) string {
	if n >= 0 && uint64(n) > 1<<63-1 {
		return fmt.Sprint(n)
	}
	return humanize.Comma(int64(n))
}

// Plural writes a count and its noun: "1 record", "2 records".
func Plural[N int | int64 | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + noun + "s"
}

// Elapsed writes a duration to three digits or so, for reading and not for parsing: "1.23 s" is "1.23s", "832µs" stays,
// "3h12m5.123s" is "3h12m5s".
func Elapsed(d time.Duration) string {
	abs := max(d, -d)
	switch {
	case abs >= time.Minute:
		return Duration(d.Round(time.Second)).String()
	case abs >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case abs >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	for unit := 100 * time.Millisecond; unit >= time.Microsecond; unit /= 10 {
		if abs >= unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}

// ByteRate writes bytes per second: "12 MiB/s". A duration of zero or less gives "-".
func ByteRate[N int | int64 | uint64](n N, d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return humanize.IBytes(uint64(float64(n)/d.Seconds())) + "/s"
}

// Rate writes things per second: "12.3k/s", "850/s", "0.5/s". A duration of zero or less gives "-".
func Rate[N int | int64 | uint64](n N, d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	r := float64(n) / d.Seconds()
	switch {
	case r >= 1e9:
		return fmt.Sprintf("%.3gG/s", r/1e9)
	case r >= 999.5e3:
		return fmt.Sprintf("%.3gM/s", r/1e6)
	case r >= 999.5:
		return fmt.Sprintf("%.3gk/s", r/1e3)
	}
	return fmt.Sprintf("%.3g/s", r)
}

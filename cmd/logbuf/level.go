package main

import (
	"fmt"
	"log/slog"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/journal"
)

// level is the value of --level. Archives know even levels only, up to the highest.
type level struct {
	least slog.Level
	given bool
}

const highestLevel = slog.LevelError + 12

// Set implements pflag.Value.
func (l *level) Set(text string) error {
	if err := l.least.UnmarshalText([]byte(text)); err != nil {
		return fmt.Errorf("%q is not a level: write debug, info, warn or error, or with a distance, as in error+4", text)
	}
	l.given = true
	return nil
}

// String implements pflag.Value.
func (l *level) String() string {
	if !l.given {
		return ""
	}
	return l.least.String()
}

// Type implements pflag.Value.
func (*level) Type() string { return "level" }

// hides tells whether rec is data and no log line of the level.
func (l *level) hides(rec journal.Record) bool {
	if !l.given || isControl(rec) {
		return false
	}
	got, known := slogbuf.LevelOf(rec)
	return !known || got < min(l.least&^1, highestLevel)
}

package slogbuf

import (
	"log/slog"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Kind is the kind of records that are lines with a level.
const Kind uint8 = 0x18

// Levels are kept in four bits, in steps of two:
//
//	code   1    3      5     7     9      11     13  15
//	level  −8   DEBUG  INFO  WARN  ERROR  +12    +16 +20
//	       −4 is 3, 0 is 5, 4 is 7, 8 is 9
const (
	lowestLevel = slog.Level(-8)
	levelStep   = 2
	highestCode = 15
)

// levelCode maps a level to 1 to 15: those between two steps to the lower one,
// those beyond the ends to the last.
func levelCode(l slog.Level) uint8 {
	l = min(max(l, lowestLevel), lowestLevel+levelStep*(highestCode-1))
	return uint8(l-lowestLevel)/levelStep + 1
}

// LevelOf is the level of a recorded line, rounded down to an even number, and
// at least −8 (DEBUG−4) and at most 20 (ERROR+12). It is false for records of
// another kind, such as the lines of Writer.Write, whose level nobody told.
func LevelOf(rec journal.Record) (slog.Level, bool) {
	code := rec.Flags & journal.FlagSourceMask
	if rec.Kind != Kind || code == 0 {
		return 0, false
	}
	return lowestLevel + levelStep*slog.Level(code-1), true
}

package journal

import "fmt"

// GapError is what Reader.Next returns once where records are missing and reading goes on: the next call returns what is behind the gap.
type GapError struct{ Gap }

// Error names file, offset, the range of sequences missing and the reason.
func (e *GapError) Error() string {
	what := "gap"
	if e.Trimmed {
		what = "trimmed"
	}
	return fmt.Sprintf("journal: %s: %s at offset %d, %d bytes: %s (%s)", e.File, what, e.Offset, e.Bytes, e.Reason, seqRange(e.FirstSeq, e.LastSeq))
}

// passing reports whether an error is told once and does not end the reading.
func passing(err error) bool {
	switch err.(type) { //nolint:errorlint // as load made them
	case *GapError, *ReissueError:
		return true
	}
	return false
}

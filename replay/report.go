package replay

import "time"

// Report is what a replay did. It is filled in also when Run returns an error.
type Report struct {
	Records uint64 // data records delivered
	Bytes   uint64 // their payload bytes
	Control uint64 // control records delivered
	Passes  uint64 // passes that came to a data record: more than 1 with Options.Loops

	Gaps    uint64 // places where records are missing and the reader went on behind them
	Missing uint64 // records missing there, as far as known

	FirstSeq, LastSeq   uint64 // of the data records delivered; meaningless when Records is 0
	FirstTime, LastTime int64  // their times as delivered, nanoseconds since the Unix epoch

	Elapsed  time.Duration // from the first delivery to the end
	Lateness Lateness      // of what was delivered; zero when nothing was due: neither Speed nor Rate was set

	GapsCut    uint64        // pauses that Options.MaxGap shortened
	GapTime    time.Duration // what it took out of the schedule, in time of the replay
	ClockSteps uint64        // times the recording's clock was stepped back and the schedule moved

	Dropped, DroppedBytes uint64        // data records that LateDrop left out, and their payload bytes
	Shifts                uint64        // times LateShift moved the schedule
	ShiftTime             time.Duration // by how much in all
}

// Recorded is the time between the first and the last record as recorded.
func (r Report) Recorded() time.Duration { return time.Duration(subSat(r.LastTime, r.FirstTime)) }

package replay

import "time"

// Report is what a replay did. It is filled in also when Run returns an error.
type Report struct {
	Records uint64 // data records delivered
	Bytes   uint64 // their payload bytes
	Control uint64 // control records delivered

	FirstSeq, LastSeq   uint64 // of the data records delivered; meaningless when Records is 0
	FirstTime, LastTime int64  // their times as recorded, nanoseconds since the Unix epoch

	Elapsed  time.Duration // from the first delivery to the end
	Lateness Lateness      // zero when Options.Speed is 0: nothing is due then

	GapsCut    uint64        // pauses that Options.MaxGap shortened
	GapTime    time.Duration // what it took out of the schedule, in time of the replay
	ClockSteps uint64        // times the recording's clock was stepped back and the schedule moved
}

// Recorded is the time between the first and the last record as recorded.
func (r Report) Recorded() time.Duration { return time.Duration(subSat(r.LastTime, r.FirstTime)) }

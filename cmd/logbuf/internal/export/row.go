package export

import "time"

// Row is one thing that an archive says: a record, records that were lost, or a gap in its numbers.
type Row struct {
	Seq      uint64 // of a record; of a loss or mark, that of the data record after it; of a gap, the first that is missing
	Time     int64  // nanoseconds since the Unix epoch
	NoTime   bool   // Time is not known: a gap
	Stream   string // empty = none
	StreamID uint16
	Kind     string // data, user-N, loss, gap, mark
	Code     uint8  // the source's, such as a WebSocket opcode
	Opcode   string // its name, when it has one

	Final, Outbound, Compressed, Truncated bool

	Payload []byte // valid until Write returns
	Loss    *Loss  // of a loss or a gap
}

// Loss says what is missing.
type Loss struct {
	First   uint64 // ordinal in its stream of the first record lost; of a gap, its sequence
	Records uint64 // how many; 0 = not known
	Bytes   uint64 // payload bytes; 0 = not known
	From    int64  // time of the first, nanoseconds since the Unix epoch; 0 = not known
	To      int64  // time of the last; 0 = not known
	Reason  string
}

// missing tells whether r stands for records that are not there.
func (r *Row) missing() bool { return r.Loss != nil }

// Writer writes rows in one format. For one goroutine. Its errors stay.
type Writer interface {
	// Write takes one row.
	Write(r *Row) error
	// Close writes what is left, and what the format has at its end. It does not close what is below.
	Close() error
}

const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

func formatTime(ns int64) string { return time.Unix(0, ns).UTC().Format(timeLayout) }

package export

import (
	"io"
	"strconv"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
)

// EventRow is a row of a table of events.
type EventRow struct {
	Row   // Seq, Time and Stream of the record; of a loss or a gap also Kind and Loss
	Entry *tracebuf.Entry
	Took  int64 // of the end of a span, ns since its begin; -1: not known
}

// phases are the words for kinds of entries.
var phases = map[uint8]string{
	tracebuf.KindEvent: "event", tracebuf.KindBegin: "begin", tracebuf.KindEnd: "end", tracebuf.KindCounter: "counter",
}

// EventsCSV writes the events, or the spans or values of a counter, of one name as CSV: a column for each field. For one goroutine. Its
// errors stay.
type EventsCSV struct {
	csvWriter
	columns map[string]int
	values  []string
}

// NewEventsCSV writes to w. The columns are the fields of all definitions of the name, those of the first one first.
func NewEventsCSV(w io.Writer, schemas []tracebuf.Schema) *EventsCSV {
	c := &EventsCSV{csvWriter: csvWriter{w: w}, columns: make(map[string]int)}
	c.buf = append(c.buf, "seq,time,unix_ns,stream,track,process,phase,span,parent,duration_ns,lost"...)
	for _, s := range schemas {
		for _, f := range s.Fields {
			if _, there := c.columns[columnName(f)]; !there {
				c.columns[columnName(f)] = len(c.columns)
				c.text(columnName(f))
			}
		}
	}
	c.values = make([]string, len(c.columns))
	c.line()
	return c
}

func columnName(f tracebuf.Field) string {
	if f.Unit == "" {
		return f.Name
	}
	return f.Name + " (" + f.Unit + ")"
}

// line ends a line and writes it.
func (c *EventsCSV) line() {
	c.buf = append(c.buf, "\r\n"...)
	if c.err == nil {
		_, c.err = c.w.Write(c.buf)
	}
	c.buf = c.buf[:0]
}

// Write takes one row. process is the name of the entry's process.
func (c *EventsCSV) Write(r *EventRow, process string) error {
	c.buf = strconv.AppendUint(c.buf[:0], r.Seq, 10)
	c.time(r.Time, !r.NoTime)
	c.integer(uint64(r.Time), !r.NoTime, true)
	c.text(r.Stream)
	clear(c.values)
	if e := r.Entry; e != nil {
		c.text(e.Track.Name)
		c.text(process)
		c.text(phases[e.Kind])
		span := e.Kind == tracebuf.KindBegin || e.Kind == tracebuf.KindEnd
		c.integer(uint64(e.Span), span, false)
		c.integer(uint64(e.Parent), span && e.Parent != 0, false)
		c.integer(uint64(r.Took), e.Kind == tracebuf.KindEnd && r.Took >= 0, true)
		c.buf = append(c.buf, ',')
		for _, f := range e.Fields {
			if i, ok := c.columns[columnName(f)]; ok {
				c.values[i] = string(f.Append(nil, e.Body))
			}
		}
	} else {
		c.buf = append(c.buf, ",,"...)
		c.text(r.Kind)
		c.buf = append(c.buf, ",,,"...)
		c.integer(r.Loss.Records, r.Loss.Records > 0, false)
	}
	for _, v := range c.values {
		c.text(v)
	}
	c.line()
	return c.err
}

package recorder

import (
	"errors"
	"fmt"
	"math"
	"syscall"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Pauses between attempts to write to a full disk. The longest is also how long
// Close waits for the archiver to notice it.
const (
	minFullPause = time.Millisecond
	maxFullPause = 100 * time.Millisecond
)

// write hands frames to the journal, n of which are not skips, and returns what
// it has not taken: nothing, if all is well. It appends one block at a time,
// which the journal takes whole or not at all, so that it can try again.
//
// A full disk is waited for; meanwhile the lanes fill, and the policies of
// their producers decide. While the recorder is being closed there is one
// attempt and no waiting. Any other failure stops the recorder for good.
func (a *archiver) write(frames []byte, n int) (rest []byte) {
	r := a.rec
	r.clock.tick() // whoever writes nothing sleeps
	a.writeClock()
	r.writing.Store(r.clock.age())
	defer r.writing.Store(0)
	for pause := minFullPause; len(frames) > 0; {
		closed := r.phase.Load() != running
		block, records := frames, n
		if len(frames) > a.maxBlock {
			block, records = firstBlock(frames, a.maxBlock)
		}
		_, err := a.journal.AppendFrames(block, records)
		switch {
		case err == nil:
			r.batchRecords.Add(uint64(records))
			r.batchBytes.Add(uint64(len(block)))
			frames, n, pause = frames[len(block):], n-records, minFullPause
		case !diskFull(err):
			r.fail(fmt.Errorf("recorder: the archive takes no more records: %w", err))
			return frames
		case closed:
			a.full = fmt.Errorf("recorder: closed while the disk is full: %w", err)
			cause := a.full
			r.abort.CompareAndSwap(nil, &cause)
			return frames
		default:
			time.Sleep(pause)
			r.clock.tick()
			pause = min(2*pause, maxFullPause)
		}
	}
	return nil
}

// diskFull reports whether a journal's error is one that passes when there is
// space again. A file that may not grow is full for ever.
func diskFull(err error) bool {
	var w *journal.WriteError
	return errors.As(err, &w) && w.Full && !errors.Is(err, syscall.EFBIG)
}

// rebook books what the journal has not taken of a stream's frames while the
// recorder is being closed: the records as one loss, and the losses that stand
// among them once more, each for its reason. The stream's ordinal goes back to
// what the archive has, so that a loss record that it takes yet stands right.
func (a *archiver) rebook(st *stream, rest []byte) {
	a.owed = a.full
	e := loss{reason: journal.LossWrite, from: math.MaxInt64, to: math.MinInt64}
	for len(rest) > 0 {
		f := rest[:frameStride(rest)]
		rest = rest[len(f):]
		switch {
		case frameIsSkip(f):
		case frameIsData(f):
			from, to := frameTimes(f)
			e.records, e.bytes = e.records+1, e.bytes+uint64(frameLen(f)-journal.FrameHeaderLen-timeLen)
			e.from, e.to = min(e.from, from), max(e.to, to)
		default:
			n, err := journal.ParseLoss(f[journal.FrameHeaderLen+timeLen : frameLen(f)])
			if err != nil {
				panic(fmt.Sprintf("recorder: a frame of its own: %v", err))
			}
			a.rec.loseLate(st, loss{records: n.Records, bytes: n.Bytes, from: n.From, to: n.To, reason: n.Reason})
		}
	}
	st.ordinal = a.journal.StreamOrdinal(st.id)
	if e.records > 0 {
		a.rec.loseLate(st, e)
	}
}

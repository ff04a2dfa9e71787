package recorder

import (
	"encoding/binary"
	"math"

	"github.com/nexus-logbuf/logbuf/journal"
)

// The archiver looks into frames only where something was lost; the common
// path hands them on as they lie.

func frameLen(frame []byte) int    { return int(int32(binary.LittleEndian.Uint32(frame))) }
func frameStride(frame []byte) int { return (frameLen(frame) + 7) &^ 7 }

// frameRoom is what a frame with a ring payload of n bytes takes of its ring.
func frameRoom(n int) int { return (journal.FrameHeaderLen + n + 7) &^ 7 }

func frameIsSkip(frame []byte) bool {
	return int32(binary.LittleEndian.Uint32(frame[4:])) < 0
}

// frameIsData reports whether the frame is a record of a producer, and not a
// skip or a loss record.
func frameIsData(frame []byte) bool { return !frameIsSkip(frame) && frame[4] < firstControl }

// countFrames is the producers' records in frames and their payload in bytes.
func countFrames(frames []byte) (records int, bytes uint64) {
	for len(frames) > 0 {
		if frameIsData(frames) {
			records++
			bytes += uint64(frameLen(frames) - journal.FrameHeaderLen - timeLen)
		}
		frames = frames[frameStride(frames):]
	}
	return records, bytes
}

// splitPayload is the payload of the first n of the producers' records in
// frames, and that of the others.
func splitPayload(frames []byte, n int) (first, rest uint64) {
	at := 0
	for at < len(frames) && n > 0 {
		if frameIsData(frames[at:]) {
			n--
		}
		at += frameStride(frames[at:])
	}
	_, first = countFrames(frames[:at])
	_, rest = countFrames(frames[at:])
	return first, rest
}

// firstBlock is the longest run of whole frames at the beginning that is not
// above limit bytes, the first one at least, and how many of them are not
// skips.
func firstBlock(frames []byte, limit int) (block []byte, n int) {
	at := 0
	for at < len(frames) {
		stride := frameStride(frames[at:])
		if at > 0 && at+stride > limit {
			break
		}
		if !frameIsSkip(frames[at:]) {
			n++
		}
		at += stride
	}
	return frames[:at], n
}

// frameTimes is the earliest and the latest time of the producers' records in
// frames, of which there is at least one.
func frameTimes(frames []byte) (from, to int64) {
	from, to = math.MaxInt64, math.MinInt64
	for len(frames) > 0 {
		if frameIsData(frames) {
			t := int64(binary.LittleEndian.Uint64(frames[journal.FrameHeaderLen:]))
			from, to = min(from, t), max(to, t)
		}
		frames = frames[frameStride(frames):]
	}
	return from, to
}

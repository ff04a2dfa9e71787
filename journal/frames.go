package journal

import (
	"fmt"
	"math"
)

// frameInfo is what a walk over frames finds.
type frameInfo struct {
	frames  int    // frames that are not skips
	count   int    // data records
	bytes   uint64 // payload bytes of the data records
	minTime int64  // of the data records; noMinTime when there is none
	maxTime int64  // noMaxTime when there is none
	lost    uint64 // records that loss records speak of
	losses  int    // loss records
	own     int    // records that only the writer itself makes: stream definitions and the close record
	anyType int32  // bits that some data record's type has
	allType int32  // bits that all data records' types have
}

func newFrameInfo() frameInfo {
	return frameInfo{minTime: noMinTime, maxTime: noMaxTime, allType: -1}
}

// stream returns the stream of the data records; ok is false when there are none, or of more than one stream.
func (i *frameInfo) stream() (id uint16, ok bool) {
	return uint16(uint32(i.anyType) >> 16), uint32(i.anyType^i.allType)>>16 == 0
}

// frameAt returns the length that the frame at off takes with its padding, and its type word. bad says what is wrong with it, empty when
// nothing is. off must be below len(b) and a multiple of 8.
func frameAt(b []byte, off int) (size int, typ int32, bad string) {
	if len(b)-off < FrameHeaderLen {
		return 0, 0, "frame header is cut"
	}
	word := le.Uint64(b[off:])
	length := int32(uint32(word))
	typ = int32(uint32(word >> 32))
	if length < FrameHeaderLen {
		return 0, 0, "frame length is below 8"
	}
	padded := (int64(length) + 7) &^ 7
	if padded > int64(len(b)-off) {
		return 0, 0, "frame is longer than what is left"
	}
	if typ == skipType {
		return int(padded), typ, ""
	}
	kind := uint8(typ)
	switch {
	case typ < 1 || kind == 0 || kind >= firstControl && (kind > lastKind || kind == KindOpen):
		return 0, 0, "frame type is not valid"
	case length < frameOverhead:
		return 0, 0, "frame is too short for a time"
	}
	return int(padded), typ, ""
}

// frameTooLong is walkFrames' word for a first frame longer than limit.
const frameTooLong = "frame is longer than a block"

// walkFrames checks frames[from:] up to the first frame boundary that is more than limit bytes away, and adds to info. It returns where it
// stopped. bad says what is wrong with the frame there, empty when nothing is.
func walkFrames(frames []byte, from, limit int, info *frameInfo) (end int, bad string) {
	off, window := from, frames[:from+min(limit, len(frames)-from)]
	for off < len(frames) {
		if off < len(window) {
			off += info.dataRun(window[off:])
		}
		if off == len(frames) {
			break
		}
		size, typ, bad := frameAt(frames, off)
		if bad != "" {
			return off, bad
		}
		if off-from+size > limit {
			if off == from {
				return off, frameTooLong
			}
			return off, ""
		}
		if typ != skipType {
			info.note(frames[off:off+size], typ)
		}
		off += size
	}
	return off, ""
}

// dataRun counts the well-formed data frames that b begins with, up to the first thing that is none, or is not all in b. It returns how many
// bytes they take. This is nearly all that there is to walk over, and costs a record one look at its first 16 bytes.
//
// Where a frame ends is only known from its length, so the walk would wait for each frame's header in turn. A header that is the one before
// once more needs no checks, and the processor, which expects that, is at the next frames already.
func (i *frameInfo) dataRun(b []byte) (end int) {
	count, payload := 0, uint64(0)
	minTime, maxTime := i.minTime, i.maxTime
	anyType, allType := uint32(i.anyType), uint32(i.allType)
	at, last, size := 0, uint64(0), uint(math.MaxUint) // a header of zeros is no frame, and ends nowhere in b
	for at <= len(b)-frameOverhead {
		head := b[at : at+frameOverhead : at+frameOverhead]
		word := le.Uint64(head)
		length, typ := uint32(word), uint32(word>>32)
		if word != last {
			if length-frameOverhead > math.MaxInt32-frameOverhead || uint8(typ)-1 >= firstControl-1 || int32(typ) < 0 {
				break
			}
			last, size = word, (uint(length)+7)&^7
		}
		if size > uint(len(b)-at) {
			break
		}
		anyType |= typ
		allType &= typ
		t := int64(le.Uint64(head[FrameHeaderLen:]))
		minTime, maxTime = min(minTime, t), max(maxTime, t)
		payload += uint64(length) - frameOverhead
		count++
		at += int(size)
	}
	i.frames += count
	i.count += count
	i.bytes += payload
	i.minTime, i.maxTime = minTime, maxTime
	i.anyType, i.allType = int32(anyType), int32(allType)
	return at
}

// note counts a frame that is not a skip.
func (i *frameInfo) note(frame []byte, typ int32) {
	i.frames++
	kind := uint8(typ)
	if kind < firstControl {
		i.anyType |= typ
		i.allType &= typ
		i.count++
		i.bytes += uint64(le.Uint32(frame)) - frameOverhead
		t := int64(le.Uint64(frame[FrameHeaderLen:]))
		i.minTime = min(i.minTime, t)
		i.maxTime = max(i.maxTime, t)
		return
	}
	switch kind {
	case KindLoss:
		i.losses++
		if l, err := ParseLoss(framePayload(frame)); err == nil {
			i.lost += l.Records
		}
	case KindStream, KindClose:
		i.own++
	}
}

// framePayload returns the payload behind the time of a checked frame.
func framePayload(frame []byte) []byte {
	return frame[frameOverhead:le.Uint32(frame)]
}

// badFrame makes the error of a malformed frame in a caller's span.
func badFrame(off, total int, bad string) error {
	return fmt.Errorf("journal: %w: %s, at byte %d of %d", ErrFrames, bad, off, total)
}

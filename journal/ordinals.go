package journal

import (
	"fmt"
	"math"
)

// maxOrdinal is where ordinals stop: a stream that has had more records, which only a loss record can claim, stays there.
const maxOrdinal = math.MaxInt64

// unknownOrdinal marks a stream that is not defined, or whose records were not all seen.
const unknownOrdinal = math.MaxUint64

// ordinals holds, by id − 1, how many records of each stream the archive has had, delivered and lost: the ordinal of the next one. A stream
// counts from its definition on. The zero value knows no stream.
type ordinals []uint64

// of returns the next ordinal of a stream, 0 when it is not known.
func (o ordinals) of(id uint16) uint64 {
	if i := int(id) - 1; i >= 0 && i < len(o) && o[i] != unknownOrdinal {
		return o[i]
	}
	return 0
}

// define takes in that a stream's next ordinal is next. bad says that it is known to be another one, empty when it is not.
func (o *ordinals) define(id uint16, next uint64) (bad string) {
	for len(*o) < int(id) {
		*o = append(*o, unknownOrdinal)
	}
	at := &(*o)[id-1]
	if *at != unknownOrdinal && *at != next {
		bad = fmt.Sprintf("definition of stream %d says that its next ordinal is %d, it is %d by the records before it", id, next, *at)
	}
	*at = next
	return bad
}

// add counts n records of a stream.
func (o ordinals) add(id uint16, n uint64) {
	if i := int(id) - 1; i >= 0 && i < len(o) && o[i] != unknownOrdinal {
		o[i] += min(n, maxOrdinal-o[i])
	}
}

// take counts the records of a block: its checked frames, and what walkFrames found there. Blocks are taken in order. bad says what the
// first definition that does not fit says, empty when all fit. Frames of one stream, the usual case, cost no look at each.
func (o *ordinals) take(frames []byte, info *frameInfo) (bad string) {
	if id, one := info.stream(); one && info.own == 0 && info.losses == 0 {
		o.add(id, uint64(info.count))
		return ""
	}
	for off := 0; off < len(frames); {
		word := le.Uint64(frames[off:])
		size := (int(int32(uint32(word))) + 7) &^ 7
		if typ := int32(uint32(word >> 32)); typ != skipType {
			switch kind, _, id := SplitType(typ); {
			case kind < firstControl:
				o.add(id, 1)
			case kind == KindLoss:
				if l, err := ParseLoss(framePayload(frames[off:])); err == nil {
					o.add(id, l.Records)
				}
			case kind == KindStream && id > 0:
				if _, next, err := ParseStream(framePayload(frames[off:])); err == nil {
					if b := o.define(id, next); bad == "" {
						bad = b
					}
				}
			}
		}
		off += size
	}
	return bad
}

// join takes in what later knows: o at an earlier place of the archive becomes o at later's.
func (o *ordinals) join(later ordinals) {
	for i, next := range later {
		if next != unknownOrdinal {
			o.define(uint16(i+1), next)
		}
	}
}

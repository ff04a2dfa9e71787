package journal

import "math"

// A block ends where Fit wants it to if that takes no more than one byte in padShare.
const (
	maxFit   = 256 << 10 // the largest piece of a file that Fit aims at
	minFit   = 16 << 10  // the smallest: smaller writes cost what the call costs
	padShare = 64
)

// Fit returns how many bytes of frames, most or fewer, AppendFrames does best with now, for callers who have most at least: then the block ends
// where a piece of the file ends that is as long as most, or 256 KiB, and the blocks behind it can be such pieces. The system has one large
// page for each of them, in place of a dozen small ones. Frames seldom come out even: when up to a 64th of the block is missing, AppendFrames
// puts a skip behind them. It is a hint and promises nothing.
func (w *Writer) Fit(most int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seg
	s.fit = 0
	if most < minFit || most > w.opts.MaxBlock {
		return most
	}
	piece := int64(maxFit)
	for piece > int64(most) {
		piece /= 2
	}
	left := piece - s.off%piece
	if left < piece/8 {
		left += piece / 2 // too little for a block of its own: the next one fits
	}
	s.fit = s.off + left
	return int(left - blockHeaderLen)
}

// padding returns the skip that goes behind n bytes of frames in the segment's next block, empty when there is to be none.
func (w *Writer) padding(n int, flags uint16) []byte {
	s := w.seg
	pad := s.fit - (s.off + blockHeaderLen + int64(n))
	s.fit = 0
	if pad <= 0 || pad > int64(n)/padShare || flags&blockLast != 0 || n+int(pad) > w.opts.MaxBlock || s.off+blockHeaderLen+int64(n)+pad > w.opts.SegmentSize {
		return nil
	}
	le.PutUint64(w.pad[:], uint64(pad)|math.MaxUint32<<32) // the length, and skipType
	return w.pad[:pad]
}

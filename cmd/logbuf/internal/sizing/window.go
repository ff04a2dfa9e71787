package sizing

import "time"

// grains is how many steps of time a window has.
const grains = 1000

// window finds the most bytes that came within any time of its width. Times are
// taken in steps of a thousandth of the width, so what it finds is exact for
// some width from one to 1.001 times its own, and its memory is bounded: some
// 2000 steps of 16 bytes.
type window struct {
	width time.Duration
	steps []step // a queue: those within the window, oldest first, from head on
	head  int
	sum   uint64 // of those

	peak uint64
	at   int64 // the time, as the record has it, at which the peak was full
}

// step is what came in one step of time.
type step struct {
	n     int64 // number of the step since the epoch
	bytes uint64
}

// add counts bytes that came at time t, which stands in the archive as shown.
// What is earlier than what was added before counts as simultaneous with it.
func (w *window) add(t, shown int64, bytes uint64) {
	grain := max(int64(w.width)/grains, 1)
	n := t / grain
	if t%grain < 0 {
		n--
	}
	if last := len(w.steps) - 1; last >= w.head && n <= w.steps[last].n {
		w.steps[last].bytes += bytes
	} else {
		for w.head < len(w.steps) && w.steps[w.head].n < n-grains {
			w.sum -= w.steps[w.head].bytes
			w.head++
		}
		if w.head > grains {
			w.steps = append(w.steps[:0], w.steps[w.head:]...)
			w.head = 0
		}
		w.steps = append(w.steps, step{n, bytes})
	}
	if w.sum += bytes; w.sum > w.peak {
		w.peak, w.at = w.sum, shown
	}
}

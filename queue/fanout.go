package queue

import (
	"fmt"
	"math/bits"

	"github.com/nexus-logbuf/logbuf/internal/step"
)

// maxWorkers bounds what NewFanOut allocates together with maxCapacity.
const maxWorkers = 1024

// FanOut distributes records from one goroutine to workers, each of which
// reads an SPSC lane of its own. Nothing in it allocates or waits: a lane
// that is full refuses, with ErrFull, and the caller decides.
//
// Send and TryClaim go by key. All records of a key go to one worker, in the
// order in which they were sent; which worker depends on the key and the number
// of workers alone. A record whose lane is full is never given to another
// worker, so that a slow worker holds up its keys and no others.
//
// SendNext and TryClaimNext go round the workers, and pass over those whose
// lane is full: ErrFull says that no lane had room. While none is full, workers
// get the same number of records, within one. The order between workers is
// open; each gets what is meant for it in the order of sending, whichever of
// the calls sent it.
//
// A FanOut is for one goroutine at a time; hand it over with a happens-before
// edge. Worker, Workers, Stats and WorkerStats may be called from anywhere. A
// worker reads with all of Consumer's verbs, and has everything when its
// Consumer is Drained.
//
// A claim must be settled before the next call that claims or sends: as with a
// Producer, that call may take its place, and then its Commit panics.
type FanOut struct {
	lanes []*Producer
	turn  int         // the worker that SendNext asks first
	fence step.Uint32 // nobody reads it, see Fence
}

// NewFanOut makes a lane for each of 1 to 1024 workers, and returns their
// consumers. The capacity of each lane, in bytes, and its largest payload are
// as for NewSPSC.
func NewFanOut(workers, laneCapacity int) (*FanOut, []*Consumer, error) {
	return newFanOut(workers, laneCapacity, 0)
}

func newFanOut(workers, laneCapacity int, start uint64) (*FanOut, []*Consumer, error) {
	if workers < 1 || workers > maxWorkers {
		return nil, nil, fmt.Errorf("queue: %d workers: must be between 1 and %d", workers, maxWorkers)
	}
	f := &FanOut{lanes: make([]*Producer, workers)}
	consumers := make([]*Consumer, workers)
	for w := range f.lanes {
		p, c, err := newSPSC(laneCapacity, start)
		if err != nil {
			return nil, nil, err
		}
		f.lanes[w], consumers[w] = p, c
	}
	return f, consumers, nil
}

// Send publishes a copy of rec as a record of type typ, at least 1 or the call
// panics, to the worker of key. ErrFull says that this worker's lane is full
// now, ErrTooLarge that the record can never fit a lane, ErrClosed that the
// FanOut is closed.
func (f *FanOut) Send(key uint64, typ int32, rec []byte) error {
	return f.lanes[f.Worker(key)].WriteTyped(typ, rec)
}

// SendNext publishes a copy of rec to the next worker whose lane has room. Its
// errors are those of Send; ErrFull says that all lanes are full.
func (f *FanOut) SendNext(typ int32, rec []byte) error {
	for range f.lanes {
		err := f.lanes[f.turn].WriteTyped(typ, rec)
		if f.passed(err); err != ErrFull {
			return err
		}
	}
	return ErrFull
}

// TryClaim reserves n payload bytes, n ≥ 0, for a record of type typ to the
// worker of key. Its errors are those of Send.
func (f *FanOut) TryClaim(key uint64, typ int32, n int) (Claim, error) {
	return f.lanes[f.Worker(key)].TryClaimTyped(typ, n)
}

// TryClaimNext reserves n payload bytes, n ≥ 0, for a record of type typ to the
// next worker whose lane has room. Its errors are those of SendNext.
func (f *FanOut) TryClaimNext(typ int32, n int) (Claim, error) {
	for range f.lanes {
		c, err := f.lanes[f.turn].TryClaimTyped(typ, n)
		if f.passed(err); err != ErrFull {
			return c, err
		}
	}
	return Claim{}, ErrFull
}

// passed ends the turn of a lane that has answered err: it has the record, or is
// full. A record that no lane would take uses up no turn.
func (f *FanOut) passed(err error) {
	if err != nil && err != ErrFull {
		return
	}
	if f.turn++; f.turn == len(f.lanes) {
		f.turn = 0
	}
}

// Fence orders everything that was sent before whatever the goroutine loads next.
// Whoever wakes workers that sleep calls it behind the records; see
// Producer.Fence.
func (f *FanOut) Fence() { f.fence.Store(1) }

// Worker is the worker that records of key go to: an index of the consumers
// that NewFanOut returned. Keys need not be random: their bits are mixed first,
// as in SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014).
func (f *FanOut) Worker(key uint64) int {
	key = (key ^ key>>30) * 0xbf58476d1ce4e5b9
	key = (key ^ key>>27) * 0x94d049bb133111eb
	w, _ := bits.Mul64(key^key>>31, uint64(len(f.lanes)))
	return int(w)
}

// Workers is the number of workers.
func (f *FanOut) Workers() int { return len(f.lanes) }

// Close ends the sending: every later call fails with ErrClosed. Workers still
// get what was sent, and then their consumers are Drained. Close may be called
// again.
func (f *FanOut) Close() error {
	for _, p := range f.lanes {
		p.Close()
	}
	return nil
}

// Stats sums the counters of all lanes; the high-water mark is the largest of
// any. Any goroutine may call it.
func (f *FanOut) Stats() Stats {
	var s Stats
	for _, p := range f.lanes {
		s = s.add(p.Stats())
	}
	return s
}

// WorkerStats is the counters of one worker's lane, from 0 to Workers less 1.
// Full says how often it was full when a record was meant for it, and, with
// SendNext and TryClaimNext, passed over. The worker's Consumer has the same
// Stats. Any goroutine may call it.
func (f *FanOut) WorkerStats(worker int) Stats { return f.lanes[worker].Stats() }

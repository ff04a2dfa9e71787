package recorder

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/hist"
	"github.com/nexus-logbuf/logbuf/internal/park"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// Phases of a recorder, in order. They only go up, under Recorder.mu.
const (
	running  uint32 = iota
	closing         // claims are refused; what is committed will be written
	freezing        // the archiver takes its last look at the lanes
	frozen          // what was not seen by then never will be
)

// Recorder writes the records of any number of producers into one archive. Its
// methods may be called from any goroutine.
type Recorder struct {
	opts    Options
	journal archive
	parker  *park.Parker

	// Read for each record, written a few times in a recorder's life.
	_       [lineSize]byte
	phase   atomic.Uint32
	failure atomic.Pointer[error] // what stopped the archiver
	clock   clock
	_       [lineSize]byte

	lanes    atomic.Pointer[laneSet] // what the archiver reads; replaced under mu
	done     chan struct{}           // closed when the archiver has ended; closeErr is set before
	closeErr error
	abort    atomic.Pointer[error] // why Close has run out of time
	late     atomic.Bool           // a stream has losses of a lane that is gone
	writing  atomic.Int64          // when the write under way began, by clock.age; 0: none

	batchRecords, batchBytes hist.Live // of appends; the archiver adds

	making  sync.Mutex // one Producer call at a time; taken before mu
	mu      sync.Mutex // guards what follows; never held during I/O
	streams []*stream
	memory  int // cost of all lanes in the streams
	urgent  int // of urgent ones
}

// stream is what producers of one name share.
type stream struct {
	name  string
	id    uint16
	count tally

	late lossBook // losses of lanes that are gone

	ordinal uint64 // the archiver's: of the next record, lost ones counted, over the archive's life

	// Under Recorder.mu:
	lanes     []*lane // open or retired, oldest first; gone ones leave
	open      *lane   // the lane of the unshared producer that is open
	shared    int     // shared producers that are open
	urgent    bool    // of the lane that was made last
	highWater int     // of the lanes that are gone
	abandoned uint64  // of the lanes that are gone
}

// Open opens the archive in dir for recording, and makes it if need be; see
// journal.Open. The recorder must be closed.
func Open(dir string, opts *Options) (*Recorder, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	w, err := journal.Open(dir, &o.Journal)
	if err != nil {
		return nil, err
	}
	r := newRecorder(w, o)
	go newArchiver(r).run()
	return r, nil
}

func newRecorder(w archive, o Options) *Recorder {
	r := &Recorder{
		opts: o, journal: w, parker: park.New(),
		done: make(chan struct{}),
	}
	r.lanes.Store(new(laneSet))
	r.clock.start()
	return r
}

// Recovered is what Open found at the end of the archive.
func (r *Recorder) Recovered() journal.Recovery { return r.journal.Recovered() }

// Producer makes a producer for the stream of that name, 1 to 1024 bytes of
// UTF-8, which begins with its first producer and goes on in every later one,
// also after a restart. An unshared producer must be the only open one of its
// stream; each shared producer has a lane of its own, too.
//
// The error wraps ErrClosed, or says which limit was exceeded by how much. If
// retired lanes hold the memory, Producer waits until they are drained.
func (r *Recorder) Producer(stream string, opts *ProducerOptions) (*Producer, error) {
	o, err := opts.withDefaults(&r.opts)
	if err != nil {
		return nil, err
	}
	r.making.Lock()
	defer r.making.Unlock()
	if r.phase.Load() != running {
		return nil, r.refusal()
	}
	if err := r.waitForRoom(stream, &o); err != nil {
		return nil, err
	}
	id, err := r.journal.DefineStream(stream)
	if err != nil {
		if r.phase.Load() != running {
			err = r.refusal()
		}
		return nil, fmt.Errorf("recorder: stream %.60q: %w", stream, err)
	}
	l, err := newLane(&o)
	if err != nil {
		return nil, fmt.Errorf("recorder: stream %q: %w", stream, err)
	}
	// If the stream is new to this recorder, nobody else writes to it yet.
	if err := r.admit(l, stream, id, r.journal.StreamOrdinal(id)); err != nil {
		return nil, err
	}
	return &Producer{
		rec: r, lane: l, ring: l.ring, shared: l.shared, policy: o.Overload, stream: id,
		max: min(l.capacity-ringOverhead, r.maxBlock()-journal.FrameHeaderLen-timeLen),
	}, nil
}

// ringOverhead is what the longest record of a lane is shorter than the lane:
// a word that stays free, the frame's header, the time.
const ringOverhead = 16 + timeLen

func (r *Recorder) maxBlock() int {
	if n := r.opts.Journal.MaxBlock; n > 0 {
		return n
	}
	return journal.DefaultMaxBlock
}

func newLane(o *ProducerOptions) (l *lane, err error) {
	l = &lane{gone: make(chan struct{}), cost: o.cost(), urgent: o.Urgent}
	if o.Shared {
		l.shared, l.out, err = queue.NewMPSC(o.LaneSize)
	} else {
		l.ring, l.out, err = queue.NewSPSC(o.LaneSize)
	}
	if err == nil {
		l.capacity = l.out.Capacity()
	}
	return l, err
}

// waitForRoom returns nil when the lane may be made. It comes before the lane
// and before the stream's definition, so that a call that is refused costs
// nothing; the caller holds making, so that nobody else takes the room. While it
// waits it lets go of making: there may be room for others, such as urgent ones.
func (r *Recorder) waitForRoom(name string, o *ProducerOptions) error {
	for {
		retired, err := r.room(name, o)
		if retired == nil {
			return err
		}
		r.making.Unlock()
		select {
		case <-retired.gone:
		case <-r.done:
		}
		r.making.Lock()
	}
}

// room is waitForRoom that does not wait. It returns a retired lane if that is
// what there is to wait for.
func (r *Recorder) room(name string, o *ProducerOptions) (retired *lane, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase.Load() != running {
		return nil, r.refusal()
	}
	for _, st := range r.streams {
		if st.name == name && (st.open != nil || (st.shared > 0 && !o.Shared)) {
			return nil, fmt.Errorf("recorder: stream %q has an open producer: close it first, or make all producers of the stream with ProducerOptions.Shared", name)
		}
	}
	cost, free, most, limit := o.cost(), r.free(o.Urgent), r.opts.MemoryLimit, "Options.MemoryLimit"
	if o.Urgent {
		most += min(r.opts.UrgentMemory, math.MaxInt-most)
		limit += " and UrgentMemory"
	}
	if cost <= free {
		return nil, nil
	}
	if retired := r.lanes.Load().retired(); retired != nil && cost <= most {
		return retired, nil
	}
	return nil, fmt.Errorf("recorder: stream %.60q: a lane of %d bytes exceeds %s: open lanes take %d of %d bytes; close producers, or use a smaller LaneSize or a larger limit",
		name, cost, limit, most-free, most)
}

// free is the memory there is for one more lane. Urgent lanes take
// Options.UrgentMemory first, and what they take of it counts for nobody else.
// mu is held. No sum may overflow.
func (r *Recorder) free(urgent bool) int {
	reserve := r.opts.UrgentMemory
	free := r.opts.MemoryLimit - (r.memory - min(r.urgent, reserve))
	if left := max(0, reserve-r.urgent); urgent {
		free += min(left, math.MaxInt-free)
	}
	return free
}

// admit puts the lane, for which there is room, among those that the archiver
// reads. ordinal is where the stream goes on if it is new to this recorder.
func (r *Recorder) admit(l *lane, name string, id uint16, ordinal uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase.Load() != running {
		return r.refusal()
	}
	st := r.stream(name, id, ordinal)
	l.stream = st
	for _, old := range st.lanes {
		if old.retired.Load() {
			l.after = append(l.after, old)
		}
	}
	st.lanes = append(st.lanes, l)
	if l.shared != nil {
		st.shared++
	} else {
		st.open = l
	}
	st.urgent = l.urgent
	r.charge(l, l.cost)
	r.lanes.Store(r.lanes.Load().with(l))
	return nil
}

// stream returns the stream of that id, making it if need be. mu is held.
func (r *Recorder) stream(name string, id uint16, ordinal uint64) *stream {
	for _, st := range r.streams {
		if st.id == id {
			return st
		}
	}
	st := &stream{name: name, id: id, ordinal: ordinal}
	r.streams = append(r.streams, st)
	return st
}

// charge counts n bytes of memory that the lane takes, or gives back. mu is
// held.
func (r *Recorder) charge(l *lane, n int) {
	r.memory += n
	if l.urgent {
		r.urgent += n
	}
}

// retire makes room for another producer of the lane's stream.
func (r *Recorder) retire(l *lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.retired.Swap(true) {
		return
	}
	if l.shared != nil {
		l.stream.shared--
	} else {
		l.stream.open = nil
	}
}

// loseLate books a loss of a lane that is gone: a claim that was open when its
// producer was closed, and is committed now.
func (r *Recorder) loseLate(st *stream, e loss) {
	st.late.add(func() uint64 { return 0 }, e)
	r.late.Store(true)
}

// forget takes a drained lane out of the archiver's list and gives its memory
// back.
func (r *Recorder) forget(l *lane) {
	for _, e := range l.losses.close() {
		r.loseLate(l.stream, e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lanes.Store(r.lanes.Load().without(l))
	l.stream.lanes = slices.DeleteFunc(l.stream.lanes, func(o *lane) bool { return o == l })
	l.stalledSince(0)
	q := l.out.Stats()
	l.stream.highWater = max(l.stream.highWater, q.HighWater)
	l.stream.abandoned += q.Abandoned
	r.charge(l, -l.cost)
	close(l.gone)
}

// refusal is why the recorder takes no more records.
func (r *Recorder) refusal() error {
	if f := r.failure.Load(); f != nil {
		return *f
	}
	return ErrClosed
}

// fail stops the recorder for good.
func (r *Recorder) fail(err error) {
	r.failure.Store(&err)
	r.stop()
}

// stop moves the phase up to closing.
func (r *Recorder) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase.Load() == running {
		r.phase.Store(closing)
	}
}

// closeGrace is how long Close waits, after its context is done, for the
// archive to be sealed.
const closeGrace = time.Second

// Close ends the recording: no claim succeeds any more, everything that was
// committed is written, losses that are still open are recorded, and the
// archive is synced, sealed and unlocked. Claims that are open are abandoned;
// their Commit returns false.
//
// If the context ends first, the records that are still in the lanes are given
// up, counted as lost and recorded as such, and the archive is sealed with what
// it has; Close takes up to one second more for that. If even that is not
// enough, because a write hangs, Close returns while the archiver goes on.
//
// The error is nil when all that was committed is in the archive and durable,
// and the losses are recorded, but for those that come while Close is at work.
// It is a *NotWrittenError when it is not, and wraps what stopped the archiver
// if something did. Close may be called again, to wait again or to get the
// same result.
func (r *Recorder) Close(ctx context.Context) error {
	r.stop()
	r.parker.Rouse()
	select {
	case <-r.done:
		return r.closeErr
	case <-ctx.Done():
	}
	cause := context.Cause(ctx)
	r.abort.CompareAndSwap(nil, &cause)
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-r.done:
		return r.closeErr
	case <-grace.C:
		return r.unfinished(cause)
	}
}

// unfinished is Close's error when the archiver is still at work.
func (r *Recorder) unfinished(cause error) error {
	return &NotWrittenError{
		Streams: r.notWritten(),
		Err:     fmt.Errorf("%w; the archive is not sealed yet, a write or sync is still under way", cause),
	}
}

// notWritten is the records that were committed and given up, or are still in
// the lanes, by stream.
func (r *Recorder) notWritten() (losses []StreamLoss) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, st := range r.streams {
		s := StreamLoss{Name: st.name, Records: st.count.unwritten.Load(), Bytes: st.count.unwrittenBytes.Load()}
		for _, l := range st.lanes {
			if records, _ := l.pending(); records > 0 {
				s.Records += records
				s.Bytes = 0 // not known
			}
		}
		if s.Records > 0 {
			losses = append(losses, s)
		}
	}
	return losses
}

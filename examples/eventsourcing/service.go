package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// Config says how a Service runs. The zero value of a field is its default.
type Config struct {
	Dir           string          // holds the journal and the snapshots
	Journal       journal.Options // Sync is SyncBatch in any case
	SnapshotEvery uint64          // records between snapshots; default 0 = none
	QuoteLane     int             // bytes of ring for quotes; default 64 KiB
	Log           io.Writer       // what an operator should know; default standard error
}

// Service is an event-sourced service: what happens to it goes into the journal,
// and what it is follows from the journal.
//
//	commands ── orders, control: wait ──┐
//	                                    ├─▶ recorder ─▶ journal ─▶ follower ─▶ state ─▶ acknowledgement
//	quotes ──── drop ───────────────────┘
//
// Producers do not know the place of their records: lanes are merged as the
// archiver comes by. So nothing is applied when it is offered. One goroutine,
// apply, reads the journal behind the recorder and applies what is durable, in
// the order in which any later start will read it.
type Service struct {
	config  Config
	rec     *recorder.Recorder
	orders  *recorder.Producer // shared by all connections
	control *recorder.Producer // the same
	quotes  *recorder.Producer // of the goroutine with the market data
	shots   *snapshotter       // nil: none
	Rebuilt Rebuilt

	wake    bell
	stop    context.CancelCauseFunc
	stopped context.Context // with the cause: what ended the service
	done    sync.WaitGroup

	mu      sync.Mutex
	state   *State
	pending map[string]*pending // commands that are written and not yet applied, by id
}

// Rebuilt says how the state was made at the start.
type Rebuilt struct {
	From     uint64 // sequence that the snapshot covers; 0: there was none
	Records  uint64 // applied from the journal
	Took     time.Duration
	Recovery journal.Recovery
}

func (r Rebuilt) String() string {
	shot := "no snapshot"
	if r.From > 0 {
		shot = fmt.Sprintf("snapshot of sequence %d", r.From)
	}
	return fmt.Sprintf("%s, %d records from the journal, %.1f ms; journal found %v", shot, r.Records, float64(r.Took.Microseconds())/1e3, r.Recovery.Verdict)
}

// pending is a command on its way through the journal.
type pending struct {
	done   chan struct{} // closed when result is there
	result string
	err    error
}

// Start opens the journal, rebuilds the state from the newest snapshot that is
// whole and the journal behind it, and returns when all that the journal had is
// applied. The service must be closed.
func Start(c Config) (s *Service, err error) {
	if c.Log == nil {
		c.Log = os.Stderr
	}
	shotDir := filepath.Join(c.Dir, "snapshots")
	if err := os.MkdirAll(shotDir, 0o700); err != nil {
		return nil, err
	}
	c.Journal.Sync = journal.SyncBatch
	rec, err := recorder.Open(journalDir(c.Dir), &recorder.Options{Journal: c.Journal})
	if err != nil {
		return nil, err
	}
	s = &Service{config: c, rec: rec, pending: make(map[string]*pending)}
	s.stopped, s.stop = context.WithCancelCause(context.Background())
	if err := s.begin(shotDir); err != nil {
		s.fail(err)
		return nil, s.Close()
	}
	return s, nil
}

func (s *Service) begin(shotDir string) error {
	state, whole, err := loadSnapshot(shotDir, s.config.Log)
	if err != nil {
		return err
	}
	s.state = state
	if s.shots, err = newSnapshotter(s, shotDir, whole); err != nil {
		return err
	}
	if err := s.rebuild(); err != nil {
		return err
	}
	return s.producers()
}

func journalDir(dir string) string { return filepath.Join(dir, "journal") }

// producers makes the lanes. Quotes come whether or not there is room for them;
// who sends a command can wait, and waits for its acknowledgement anyway. It
// does not wait behind quotes: commands are urgent.
func (s *Service) producers() (err error) {
	size := s.config.QuoteLane
	if size == 0 {
		size = 64 << 10
	}
	if s.quotes, err = s.rec.Producer(streamQuotes, &recorder.ProducerOptions{LaneSize: size}); err != nil {
		return err
	}
	if s.orders, err = s.rec.Producer(streamOrders, &recorder.ProducerOptions{Overload: recorder.OverloadWait, Shared: true, Urgent: true}); err != nil {
		return err
	}
	s.control, err = s.rec.Producer(streamControl, &recorder.ProducerOptions{Overload: recorder.OverloadWait, Shared: true, Urgent: true, LaneSize: 16 << 10})
	return err
}

// rebuild brings the state to the end of the journal, and leaves a goroutine
// behind that keeps it there.
func (s *Service) rebuild() error {
	began, found := time.Now(), s.rec.Recovered()
	from := s.state.Seq
	if from > found.NextSeq {
		return fmt.Errorf("a snapshot covers the journal up to sequence %d, and the journal ends with %d: it is another journal, or has lost what was durable", from, found.NextSeq)
	}
	o := journal.ReaderOptions{FromSeq: from, Control: true, Durable: true, FS: s.config.Journal.FS}
	if err := s.catchUp(o); err != nil {
		return err
	}
	if s.state.Seq != found.NextSeq {
		return fmt.Errorf("the journal ends with sequence %d, and %d is all that can be read of it", found.NextSeq, s.state.Seq)
	}
	s.Rebuilt = Rebuilt{From: from, Records: s.state.Seq - from, Took: time.Since(began), Recovery: found}
	o.FromSeq, o.Follow = s.state.Seq, true
	r, err := journal.OpenReader(journalDir(s.config.Dir), &o)
	if err != nil {
		return err
	}
	s.done.Go(func() { s.apply(r) })
	return nil
}

// catchUp applies what the journal has.
func (s *Service) catchUp(o journal.ReaderOptions) error {
	r, err := journal.OpenReader(journalDir(s.config.Dir), &o)
	if err != nil {
		return err
	}
	defer r.Close()
	if first := r.FirstSeq(); first > o.FromSeq {
		return fmt.Errorf("the state can be rebuilt up to sequence %d, and the journal begins with %d: a snapshot is missing", o.FromSeq, first)
	}
	for {
		err := s.applyNext(context.Background(), r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// apply follows the journal until the service ends.
func (s *Service) apply(r *journal.Reader) {
	defer r.Close()
	for {
		err := s.applyNext(s.wake.context(s.stopped), r)
		switch {
		case s.stopped.Err() != nil:
			return
		case errors.Is(err, context.Canceled):
			// somebody rang: look at once
		case err != nil:
			s.fail(err)
			return
		}
	}
}

// applyNext applies the next record that is durable.
func (s *Service) applyNext(ctx context.Context, r *journal.Reader) error {
	rec, err := r.Next(ctx)
	var gap *journal.GapError
	if errors.As(err, &gap) && !gap.Trimmed {
		fmt.Fprintln(s.config.Log, gap)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.state.Skip(gap.Gap)
		return nil
	}
	if err != nil {
		return err
	}
	stream := r.StreamName(rec.Stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	applied, err := s.state.Apply(rec, stream)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if p := s.pending[applied.ID]; p != nil {
		delete(s.pending, applied.ID)
		p.result = applied.Result
		close(p.done)
	}
	s.shots.applied(s.state, r.Epoch())
	return nil
}

// Do sends a command through the journal and returns its result when it is
// durable and applied. A command whose id is known is not written again: its
// result is returned, or waited for. An error says that it is not known whether
// the command will count; to send it again is safe.
func (s *Service) Do(ctx context.Context, line []byte) (id, result string, err error) {
	c, err := parseCommand(line)
	if err != nil {
		return "", "", badCommand{err}
	}
	id = string(c.id)
	s.mu.Lock()
	if result, ok := s.state.results[id]; ok {
		s.mu.Unlock()
		return id, result, nil // what is in the state is durable
	}
	p := s.pending[id]
	first := p == nil
	if first {
		p = &pending{done: make(chan struct{})}
		s.pending[id] = p
	}
	s.mu.Unlock()
	if first {
		if err := s.write(ctx, &c, line); err != nil {
			s.giveUp(id, p, err)
		}
	}
	select {
	case <-p.done:
		return id, p.result, p.err
	case <-ctx.Done():
		return id, "", ctx.Err()
	case <-s.stopped.Done():
		return id, "", context.Cause(s.stopped)
	}
}

// badCommand is the error for a line that is no command.
type badCommand struct{ error }

// write puts a command into the journal, and returns when it is durable.
func (s *Service) write(ctx context.Context, c *command, line []byte) error {
	p := s.orders
	if c.kind() == kindControl {
		p = s.control
	}
	claim, err := p.Claim(ctx, c.kind(), 0, len(line))
	if err != nil {
		return err
	}
	copy(claim.Bytes(), line)
	if !claim.Commit() {
		return recorder.ErrClosed
	}
	// From here on the command may count, so nobody may write it again: whatever
	// ctx says, this waits for the journal's word.
	if err := p.WaitDurable(s.stopped); err != nil {
		s.fail(err)
		return err
	}
	s.wake.ring() // apply reads what is durable; without this it looks in every 1 to 50 ms
	return nil
}

// giveUp ends the wait for a command that could not be written.
func (s *Service) giveUp(id string, p *pending, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[id] == p {
		delete(s.pending, id)
		p.err = err
		close(p.done)
	}
}

// Quote offers a quote, which is "SYMBOL BID ASK". It never waits: when the
// lane is full the quote is lost, the journal says so at its place, and the
// books are stale from there on. It is for one goroutine.
func (s *Service) Quote(payload []byte) error {
	if _, err := parseQuote(payload); err != nil {
		return badCommand{err}
	}
	err := s.quotes.WriteAt(time.Now().UnixNano(), kindQuote, 0, payload)
	if errors.Is(err, queue.ErrFull) {
		return nil // counted, and recorded
	}
	return err
}

// Status returns the result of a command, and whether it is known.
func (s *Service) Status(id string) (result string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	result, known = s.state.results[id]
	return result, known
}

// fail ends the service because of err.
func (s *Service) fail(err error) { s.stop(err) }

// shutdownTime is how long the end of the service may take.
const shutdownTime = 5 * time.Second

// errStopped is what waiting calls return after Close.
var errStopped = errors.New("the service is stopped")

// Close ends the service. Commands that are waiting get an error; what is
// committed is written, and the journal sealed.
func (s *Service) Close() error {
	s.stop(errStopped)
	s.done.Wait()
	if s.shots != nil {
		s.shots.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	err := s.rec.Close(ctx)
	if cause := context.Cause(s.stopped); cause != errStopped {
		err = errors.Join(cause, err)
	}
	return err
}

// bell gets a goroutine out of a call that waits with a context.
type bell struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
}

// context returns one that ends at the next ring, or with parent.
func (b *bell) context(parent context.Context) context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx == nil || b.ctx.Err() != nil {
		b.ctx, b.cancel = context.WithCancel(parent)
	}
	return b.ctx
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel != nil {
		b.cancel()
	}
}

package recorder

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
)

// fakeArchive keeps what is appended in memory, decoded, and lets a test hold
// up or fail any append.
type fakeArchive struct {
	// before, if set, is called with the number of each append, from 0, and
	// its frames; taken records of them are kept before err is returned.
	before func(n int, frames []byte) (taken int, err error)
	// durable, if set, decides about WaitDurable.
	durable func(ctx context.Context, seq uint64) error
	sealErr error
	fit     func(most int) int
	seal    chan struct{} // if not nil, Close waits until it is closed

	mu       sync.Mutex
	appends  int
	records  []journal.Record
	streams  []string
	nextSeq  uint64
	ordinals map[uint16]uint64 // of streams that an earlier writer has left behind
	closed   bool
	synced   []uint64 // sequences that WaitDurable was asked for
}

func (f *fakeArchive) DefineStream(name string) (uint16, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, s := range f.streams {
		if s == name {
			return uint16(i + 1), nil
		}
	}
	f.streams = append(f.streams, name)
	return uint16(len(f.streams)), nil
}

// StreamOrdinal counts the stream's records and losses.
func (f *fakeArchive) StreamOrdinal(id uint16) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.ordinals[id]
	for _, rec := range f.records {
		if rec.Stream == id && rec.Kind < journal.KindStream {
			n++
		}
		if l, err := journal.ParseLoss(rec.Payload); rec.Stream == id && rec.Kind == journal.KindLoss && err == nil {
			n += l.Records
		}
	}
	return n
}

// Fit knows nothing better.
func (f *fakeArchive) Fit(most int) int {
	if f.fit != nil {
		return f.fit(most)
	}
	return most
}

func (f *fakeArchive) AppendFrames(frames []byte, records int) (uint64, error) {
	f.mu.Lock()
	n := f.appends
	f.appends++
	f.mu.Unlock()
	taken, failed := records, error(nil)
	if f.before != nil {
		t, err := f.before(n, frames)
		if err != nil {
			taken, failed = t, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.nextSeq
	found := 0
	for b := frames; len(b) > 0; b = b[frameStride(b):] {
		if frameIsSkip(b) {
			continue
		}
		if found++; found > taken {
			continue
		}
		kind, flags, stream := journal.SplitType(int32(binary.LittleEndian.Uint32(b[4:])))
		f.records = append(f.records, journal.Record{
			Seq: f.nextSeq, Time: int64(binary.LittleEndian.Uint64(b[8:])), Kind: kind, Flags: flags, Stream: stream,
			Payload: bytes.Clone(b[16:frameLen(b)]),
		})
		if kind < journal.KindStream {
			f.nextSeq++
		}
	}
	if found != records {
		return 0, fmt.Errorf("%w: %d records, told %d", journal.ErrFrames, found, records)
	}
	return first, failed
}

func (f *fakeArchive) NextSeq() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nextSeq
}

func (f *fakeArchive) WaitDurable(ctx context.Context, seq uint64) error {
	f.mu.Lock()
	f.synced = append(f.synced, seq)
	next, closed, sealErr := f.nextSeq, f.closed, f.sealErr
	f.mu.Unlock()
	if closed {
		if sealErr == nil && seq < next {
			return nil // as the journal: it has kept its word
		}
		return errors.New("the fake is closed")
	}
	if seq >= next {
		return fmt.Errorf("sequence %d is not written yet, next is %d", seq, next)
	}
	if f.durable != nil {
		return f.durable(ctx, seq)
	}
	return nil
}

func (f *fakeArchive) Stats() journal.Stats        { return journal.Stats{NextSeq: f.NextSeq()} }
func (f *fakeArchive) Recovered() journal.Recovery { return journal.Recovery{} }

func (f *fakeArchive) Close() error {
	if f.seal != nil {
		<-f.seal
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errors.New("closed twice")
	}
	f.closed = true
	return f.sealErr
}

// all is a copy of what was appended so far.
func (f *fakeArchive) all() []journal.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]journal.Record(nil), f.records...)
}

// startFake is Open over a fakeArchive. A test that does not say how long records
// may lie in their lanes gets an archiver that looks at each of them at once.
func startFake(t testing.TB, f *fakeArchive, opts *Options) *Recorder {
	t.Helper()
	o, err := opts.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if opts == nil || opts.Linger == 0 {
		o.Linger = -1
	}
	r := newRecorder(f, o)
	go newArchiver(r).run()
	return r
}

func mustProducer(t testing.TB, r *Recorder, stream string, opts *ProducerOptions) *Producer {
	t.Helper()
	p, err := r.Producer(stream, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustClose(t testing.TB, r *Recorder) {
	t.Helper()
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// replayed is what an archive says about one stream.
type replayed struct {
	data    []journal.Record
	ordinal []uint64 // of each of data, as the loss records make it
	losses  []journal.Loss
	next    uint64 // ordinal behind the last record or loss
	lost    uint64
}

// replay works out the ordinals of a stream's records. Each loss record must
// stand exactly where its first ordinal says.
func replay(t testing.TB, records []journal.Record, stream uint16) *replayed {
	t.Helper()
	r := new(replayed)
	for _, rec := range records {
		if rec.Stream != stream {
			continue
		}
		switch {
		case rec.Kind == journal.KindLoss:
			l, err := journal.ParseLoss(rec.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if l.First != r.next || l.Stream != stream {
				t.Fatalf("stream %d: loss record %+v stands at ordinal %d", stream, l, r.next)
			}
			if l.From > l.To {
				t.Fatalf("stream %d: loss record %+v ends before it begins", stream, l)
			}
			r.losses = append(r.losses, l)
			r.next += l.Records
			r.lost += l.Records
		case rec.Kind < journal.KindStream:
			r.data = append(r.data, rec)
			r.ordinal = append(r.ordinal, r.next)
			r.next++
		}
	}
	return r
}

// streamStats is the counters of the stream of that name.
func streamStats(t testing.TB, r *Recorder, name string) StreamStats {
	t.Helper()
	for _, s := range r.Stats().Streams {
		if s.Name == name {
			checkSums(t, s.ProducerStats)
			return s
		}
	}
	t.Fatalf("no stream %q", name)
	return StreamStats{}
}

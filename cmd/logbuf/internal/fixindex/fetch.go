package fixindex

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/journal"
)

// Message is a message in the archive. What it holds is valid until the next one.
type Message struct {
	journal.Record
	Header fixbuf.Header
}

// Read calls yield with the messages of a session in the spans, in the order of
// the archive, until it returns an error. Messages whose CheckSum is wrong, and
// those that have no number, are not among them. Damage is passed over, and told
// to damaged.
func Read(ctx context.Context, dir, session string, spans []Span, damaged func(journal.Gap), yield func(*Message) error) error {
	var m Message
	var id fixbuf.Identity
	name := ""
	for _, span := range spans {
		r, err := journal.OpenReader(dir, &journal.ReaderOptions{FromSeq: span.First, Salvage: true})
		if err != nil {
			return err
		}
		for {
			m.Record, err = r.Next(ctx)
			if gap, ok := errors.AsType[*journal.GapError](err); ok {
				damaged(gap.Gap)
				continue
			}
			if err == io.EOF || err == nil && m.Seq > span.Last {
				break
			}
			if err != nil {
				return errors.Join(err, r.Close())
			}
			if m.Kind != journal.KindData || !isFIX(m.Payload) || m.Header.Parse(m.Payload) != nil {
				continue
			}
			if !id.Is(&m.Header) || name == "" {
				id = m.Header.Identity()
				name = id.String()
			}
			if name != session {
				continue
			}
			if err := yield(&m); err != nil {
				return errors.Join(err, r.Close())
			}
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Entry is where a message is.
type Entry struct {
	SeqNum uint64
	Seq    uint64 // in the archive
}

// Entries finds the messages of a day with the numbers from to to, each once: in
// the order of their numbers, and of those that came more than once the first. It
// holds 16 bytes for each. SequenceReset-Reset is not among them: its number means
// nothing.
func (x *Index) Entries(ctx context.Context, dir, session string, side int, day Day, from, to uint64) ([]Entry, error) {
	if len(day.Runs) == 0 {
		return nil, nil
	}
	first, last := day.Runs[0].First, uint64(0)
	for _, r := range day.Runs {
		first, last = min(first, r.First), max(last, r.Last)
	}
	var all []Entry
	err := Read(ctx, dir, session, day.Find(from, to), func(journal.Gap) {}, func(m *Message) error {
		if n := m.Header.SeqNum; m.Header.Side() == side && !isReset(&m.Header) && n >= from && n <= to && m.Seq >= first && m.Seq <= last {
			all = append(all, Entry{n, m.Seq})
		}
		return nil
	})
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.SeqNum, b.SeqNum), cmp.Compare(a.Seq, b.Seq)) })
	all = slices.CompactFunc(all, func(a, b Entry) bool { return a.SeqNum == b.SeqNum })
	return all, err
}

// Fetcher gets messages by their sequence in the archive. It is quick when the sequences go up.
type Fetcher struct {
	dir string
	r   *journal.Reader
	m   Message
}

// NewFetcher makes a fetcher, which must be closed.
func NewFetcher(dir string) *Fetcher { return &Fetcher{dir: dir} }

// near is how far ahead a record is read up to rather than sought.
const near = 1000

// Fetch returns the message; it is valid until the next call. The error is io.EOF
// when it is not there any more or cannot be read. Others can be had all the same.
func (f *Fetcher) Fetch(ctx context.Context, seq uint64) (*Message, error) {
	if f.r == nil || seq < f.r.NextSeq() || seq > f.r.NextSeq()+near {
		f.Close()
		r, err := journal.OpenReader(f.dir, &journal.ReaderOptions{FromSeq: seq, Salvage: true})
		if err != nil {
			return nil, err
		}
		f.r = r
	}
	for {
		rec, err := f.r.Next(ctx)
		if _, ok := errors.AsType[*journal.GapError](err); ok {
			continue // damage, of which the message may be a part or not
		}
		if err != nil {
			return nil, err
		}
		if rec.Seq < seq {
			continue
		}
		if rec.Seq > seq {
			return nil, io.EOF
		}
		f.m.Record = rec
		return &f.m, f.m.Header.Parse(rec.Payload)
	}
}

// Close closes the reader.
func (f *Fetcher) Close() {
	if f.r != nil {
		f.r.Close() // it was only read: nothing can be lost
		f.r = nil
	}
}

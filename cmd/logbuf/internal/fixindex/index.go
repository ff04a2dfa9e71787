package fixindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nexus-logbuf/logbuf/journal"
)

// Options are the options of Open. Nil or the zero value is the default.
type Options struct {
	NoCache bool                 // neither read nor write index files
	Damaged func(journal.Gap)    // told of records that cannot be read; nil: nobody
	Read    func(segment string) // told of a segment that is read because no file has its index; nil: nobody
}

// Index is what was found in an archive. It does not change.
type Index struct {
	Sessions []Session // by name; what was counted is what the archive has
	Runs     []Run     // in the order of the archive
	Gaps     []Gap     // likewise, at most 10000 of each segment

	names []string // of Sessions
}

// Open makes the index of the archive in dir, of all that is written now. A
// writer may be active.
func Open(ctx context.Context, dir string, opts *Options) (*Index, error) {
	if opts == nil {
		opts = &Options{}
	}
	segments, err := journal.Segments(dir, nil)
	if err != nil {
		return nil, err
	}
	files := cache{dir: dir, off: opts.NoCache}
	x := &Index{}
	var begin, at state
	for first := 0; first < len(segments); {
		u := unitFrom(segments[first:])
		s, ok := files.load(u, at)
		if !ok {
			if s, err = scan(ctx, dir, u, at, opts); err != nil {
				return nil, err
			}
			files.store(u, s)
		}
		if first == 0 {
			begin = s.Start
		}
		at = s.End
		first += u.segments
		x.Runs = append(x.Runs, s.Runs...)
		x.Gaps = append(x.Gaps, s.Gaps...)
	}
	files.clean(segments)
	for name, s := range at {
		if e, ok := begin[name]; ok {
			if s = s.less(e); s.Messages() == 0 && s.BadSum+s.Malformed+s.Skipped+s.Lost+s.LossGaps == 0 {
				continue // all of it was trimmed
			}
		}
		x.names = append(x.names, name)
		x.Sessions = append(x.Sessions, s)
	}
	x.sort()
	return x, nil
}

func (x *Index) sort() {
	order := make([]int, len(x.names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(x.names[a], x.names[b]) })
	names, sessions := make([]string, len(order)), make([]Session, len(order))
	for to, from := range order {
		names[to], sessions[to] = x.names[from], x.Sessions[from]
	}
	x.names, x.Sessions = names, sessions
}

// Names are the names of Sessions.
func (x *Index) Names() []string { return x.names }

// Session finds a session by its name, nil when there is none.
func (x *Index) Session(name string) *Session {
	if i, ok := slices.BinarySearch(x.names, name); ok {
		return &x.Sessions[i]
	}
	return nil
}

// segment is the index of one segment. The fields are those of its file.
type segment struct {
	Start state `json:"start"` // what was known before it
	End   state `json:"end"`
	Runs  []Run `json:"runs"`
	Gaps  []Gap `json:"gaps"`

	whole bool // the segment will not change any more, and all of it was read
}

// unit is a segment with records, and those without before it, which a reader
// cannot be made to begin behind. The last unit may lack the one with records.
type unit struct {
	journal.SegmentInfo        // of its last segment
	first               uint64 // number of its first segment
	segments            int
	last                bool // there is none behind it
}

// unitFrom is the first unit of the segments.
func unitFrom(segments []journal.SegmentInfo) unit {
	n := 1
	for n < len(segments) && segments[n-1].NextSeq == segments[0].FirstSeq {
		n++
	}
	u := unit{SegmentInfo: segments[n-1], first: segments[0].Number, segments: n, last: n == len(segments)}
	u.FirstSeq = segments[0].FirstSeq
	return u
}

// scan reads a unit; of the last one all that is there. Each segment begins with
// the definitions of all streams: by those, the losses at the end of one are told
// from those at the beginning of the next.
func scan(ctx context.Context, dir string, seg unit, start state, opts *Options) (*segment, error) {
	if start == nil {
		start = state{}
	}
	if opts.Read != nil {
		opts.Read(seg.File)
	}
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{FromSeq: seg.FirstSeq, Control: true, Salvage: true})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := newBuilder(start)
	s := &segment{Start: start, whole: seg.Sealed}
	defined := map[uint16]bool{}
	records := uint64(0)
	for {
		rec, err := r.Next(ctx)
		if gap, ok := errors.AsType[*journal.GapError](err); ok {
			if gap.Gap.FirstSeq >= seg.NextSeq && !seg.last {
				break // the next segment
			}
			if gap.Gap.Trimmed || gap.Gap.Declared {
				continue // no damage: the archive says so itself
			}
			s.whole = false
			if opts.Damaged != nil {
				opts.Damaged(gap.Gap)
			}
			continue
		}
		if again, ok := errors.AsType[*journal.ReissueError](err); ok {
			return nil, fmt.Errorf("%s: a new writer begins at record %d, behind which records were given already: try again", dir, again.Seq)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if rec.Seq >= seg.NextSeq && !seg.last && (rec.Kind < journal.KindStream || rec.Kind == journal.KindStream && defined[rec.Stream]) {
			break // the next segment
		}
		if rec.Kind >= journal.KindStream {
			defined[rec.Stream] = defined[rec.Stream] || rec.Kind == journal.KindStream
			if l, err := journal.ParseLoss(rec.Payload); err == nil && rec.Kind == journal.KindLoss {
				b.lose(l, r.StreamName(l.Stream))
			}
			continue
		}
		records++
		b.see(rec, r.StreamName(rec.Stream))
	}
	// Fewer records: the segment was trimmed meanwhile, or could not be read.
	s.whole = s.whole && records == seg.Records && len(b.runs) <= maxRuns && len(b.sessions) <= maxSessions
	s.End, s.Runs, s.Gaps = b.sessions, b.runs, b.gaps
	return s, nil
}

// Span is records First to Last of the archive.
type Span struct{ First, Last uint64 }

// Find returns where the messages with numbers from to to of a session may be:
// reading these spans finds them all. side is 0 or 1, or −1 for both.
func (x *Index) Find(session string, side int, from, to uint64) (spans []Span) {
	for _, r := range x.Runs {
		if r.Session == session && (side < 0 || r.Side == side) && r.From <= to && r.To >= from {
			spans = append(spans, Span{r.First, r.Last})
		}
	}
	return union(spans)
}

// union joins spans that overlap or meet, and sorts them.
func union(spans []Span) (out []Span) {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.First, b.First) })
	for _, s := range spans {
		if n := len(out) - 1; n >= 0 && s.First <= out[n].Last+1 {
			out[n].Last = max(out[n].Last, s.Last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// Day is the part of a sender's messages that has each number once: up to where
// the numbers go back.
type Day struct {
	Runs     []Run
	From, To uint64 // the lowest and the highest number
}

// Days are the parts of the messages of a sender, in order.
func (x *Index) Days(session string, side int) (days []Day) {
	last := uint64(0)
	for _, r := range x.Runs {
		if r.Session != session || r.Side != side {
			continue
		}
		if len(days) == 0 || !r.Repeat && r.From <= last {
			days = append(days, Day{From: r.From})
		}
		d := &days[len(days)-1]
		d.Runs = append(d.Runs, r)
		d.From, d.To = min(d.From, r.From), max(d.To, r.To)
		if !r.Repeat {
			last = r.To
		}
	}
	return days
}

// Find is where the messages with numbers from to to may be.
func (d *Day) Find(from, to uint64) (spans []Span) {
	for _, r := range d.Runs {
		if r.From <= to && r.To >= from {
			spans = append(spans, Span{r.First, r.Last})
		}
	}
	return union(spans)
}

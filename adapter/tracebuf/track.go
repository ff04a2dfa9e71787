package tracebuf

import (
	"fmt"
	"sync/atomic"

	"github.com/nexus-logbuf/logbuf/recorder"
)

// Track is a time line that events and spans are on: usually a goroutine's. It
// is for one goroutine at a time, unless it was made with Shared, when any
// number may use it at once.
type Track struct {
	t      *Tracer
	p      *recorder.Producer
	id     uint32
	shared bool

	open  uint32        // the innermost open span; of an unshared track
	spans atomic.Uint32 // the last span's number
}

// Track makes a track. It writes to the stream TRACE/name, where TRACE is
// Options.Stream, with a producer that opts describes, see
// recorder.Recorder.Producer: an unshared track must be the only open one of its
// name, and its lane takes 256 KiB unless opts says otherwise.
//
// Names are streams of the archive, of which there can be 32767: give the
// tracks of goroutines that come and go names that are used again, "worker 3",
// or let them share one.
func (t *Tracer) Track(name string, opts *recorder.ProducerOptions) (*Track, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("tracebuf: track: %w", err)
	}
	p, err := t.rec.Producer(t.stream+"/"+name, opts)
	if err != nil {
		return nil, fmt.Errorf("tracebuf: track %q: %w", name, err)
	}
	k := &Track{t: t, p: p, id: t.last.Add(1), shared: opts != nil && opts.Shared}
	def := defineTrack(TrackInfo{ID: k.id, Name: name, Shared: k.shared, Process: t.process})
	if err := t.reg.add(def, 0, name); err != nil {
		_ = p.Close() // never fails
		return nil, fmt.Errorf("tracebuf: track %q: %w", name, err)
	}
	return k, nil
}

// Producer is the track's producer, for its Stats, WaitDurable and Lose.
func (k *Track) Producer() *recorder.Producer { return k.p }

// Close closes the track's producer. Spans that are open stay so in the
// archive.
func (k *Track) Close() error { return k.p.Close() }

// write records a payload. Its errors are those of recorder.Producer.WriteAt.
func (k *Track) write(kind uint8, payload []byte) error {
	err := k.p.WriteAt(k.t.now(), kind, 0, payload)
	if !k.t.used.Load() { // after the write, so that definitions come behind it
		k.t.used.Store(true)
	}
	return err
}

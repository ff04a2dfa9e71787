package tracebuf

import (
	"context"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openRecorder opens an archive in a directory of the test's.
func openRecorder(t testing.TB, dir string, opts *recorder.Options) *recorder.Recorder {
	t.Helper()
	rec, err := recorder.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rec.Close(context.Background()) })
	return rec
}

func mustTracer(t testing.TB, rec *recorder.Recorder, opts *Options) *Tracer {
	t.Helper()
	tracer, err := New(rec, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tracer.Close(context.Background()) })
	return tracer
}

func mustTrack(t testing.TB, tracer *Tracer, name string, opts *recorder.ProducerOptions) *Track {
	t.Helper()
	k, err := tracer.Track(name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustRegister[T any](t testing.TB, tracer *Tracer, name string) *Event[T] {
	t.Helper()
	e, err := Register[T](tracer, name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func mustCounter[N int64 | float64](t testing.TB, tracer *Tracer, name, unit string) *Counter[N] {
	t.Helper()
	c, err := NewCounter[N](tracer, name, unit)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// closeAll closes tracer and recorder.
func closeAll(t testing.TB, tracer *Tracer, rec *recorder.Recorder) {
	t.Helper()
	must(t, tracer.Close(context.Background()))
	must(t, rec.Close(context.Background()))
}

// readAll returns the archive's data records, with payloads of their own.
func readAll(t testing.TB, dir string) []journal.Record {
	t.Helper()
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []journal.Record
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		rec.Payload = append([]byte(nil), rec.Payload...)
		all = append(all, rec)
	}
	return all
}

// decodeAll decodes an archive as a reader from the beginning does: the
// definitions first. It fails if an entry cannot be decoded.
func decodeAll(t testing.TB, dir string) (*Decoder, []Entry) {
	t.Helper()
	var d Decoder
	all := readAll(t, dir)
	for _, rec := range all {
		must(t, d.Learn(rec))
	}
	var entries []Entry
	for _, rec := range all {
		e, err := d.Decode(rec)
		if err != nil {
			t.Fatalf("record %d: %v", rec.Seq, err)
		}
		if e.Kind != KindDefine {
			entries = append(entries, e)
		}
	}
	return &d, entries
}

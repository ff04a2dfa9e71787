package slogbuf_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/nexus-logbuf/logbuf/adapter/slogbuf"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// logs is an archive with a writer, and a disk that can be made to hang.
type logs struct {
	t      testing.TB
	dir    string
	rec    *recorder.Recorder
	w      *slogbuf.Writer
	hung   atomic.Bool
	gate   chan struct{}
	closed bool
}

const stream = "app"

func open(t testing.TB, opts *recorder.ProducerOptions) *logs {
	t.Helper()
	l := &logs{t: t, dir: t.TempDir(), gate: make(chan struct{})}
	disk := vfs.NewFault(nil)
	disk.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
		if op.Kind == vfs.OpWrite && l.hung.Load() {
			<-l.gate
		}
		return vfs.Verdict{}
	})
	var err error
	if l.rec, err = recorder.Open(l.dir, &recorder.Options{Journal: journal.Options{FS: disk}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	if l.w, err = slogbuf.NewWriter(l.rec, stream, opts); err != nil {
		t.Fatal(err)
	}
	return l
}

// hang makes every write to the disk wait until resume.
func (l *logs) hang() { l.hung.Store(true) }

func (l *logs) resume() {
	if l.hung.CompareAndSwap(true, false) {
		close(l.gate)
	}
}

func (l *logs) close() {
	l.resume()
	if l.closed {
		return
	}
	l.closed = true
	if err := l.rec.Close(context.Background()); err != nil {
		l.t.Error(err)
	}
}

// records closes the recorder and returns what the archive has.
func (l *logs) records() (recs []journal.Record, losses []journal.Loss) {
	l.t.Helper()
	l.close()
	return read(l.t, l.dir)
}

func read(t testing.TB, dir string) (recs []journal.Record, losses []journal.Loss) {
	t.Helper()
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		switch {
		case err != nil:
			t.Fatal(err)
		case rec.Kind == journal.KindLoss:
			loss, err := journal.ParseLoss(rec.Payload)
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, loss)
		case rec.Kind < journal.KindStream:
			recs = append(recs, rec.Clone())
		}
	}
	return recs, losses
}

// text is the payloads one after another, as `logbuf cat --format raw` gives them.
func text(recs []journal.Record) string {
	var b bytes.Buffer
	for _, r := range recs {
		b.Write(r.Payload)
	}
	return b.String()
}

package recorder

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/queue"
)

// gated is an archive that takes nothing until gate is closed.
type gated struct {
	archive
	gate chan struct{}
}

func (g gated) AppendFrames(frames []byte, records int) (uint64, error) {
	<-g.gate
	return g.archive.AppendFrames(frames, records)
}

// heapInUse is what the program's heap takes, garbage not counted.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // the first one leaves what pools and finalizers hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// 500 sessions with lanes of 128 KiB fit into 128 MiB and the default limit,
// also at the worst moment: the disk stands still, all lanes are full, and each
// has as many losses at different places as it keeps apart. Then all of them are
// written, and a reader finds what there was and what is lost.
func Test500SessionsIn128MiB(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("the race detector allocates; and it writes 64 MB")
	}
	const sessions, lane, limit = 500, 128 << 10, 128 << 20
	dir := t.TempDir()
	before := heapInUse()
	w, err := journal.Open(dir, &journal.Options{Sync: journal.SyncNone})
	if err != nil {
		t.Fatal(err)
	}
	o, err := (&Options{LaneSize: lane}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	r := newRecorder(gated{w, gate}, o)
	go newArchiver(r).run()
	open := sync.OnceFunc(func() { close(gate) })
	defer open()

	producers := make([]*Producer, sessions)
	for i := range producers {
		producers[i] = mustProducer(t, r, fmt.Sprintf("FIX.4.4:US%03d->EXCHANGE", i), nil)
	}
	rec := make([]byte, 90)
	for _, p := range producers {
		for n := uint64(0); ; n++ {
			if _, err := p.Write(rec); errors.Is(err, queue.ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			p.Lose(1, n, journal.LossSource)
		}
	}
	s := r.Stats()
	took := int64(heapInUse()) - int64(before)
	t.Logf("%d lanes of %d bytes: LaneMemory %d, heap %d bytes, %d records and %d losses in them",
		sessions, lane, s.LaneMemory, took, s.LagRecords, sum(s, func(s StreamStats) uint64 { return s.Lost }))
	if s.LaneMemory != sessions*lane || s.MemoryLimit != DefaultMemoryLimit || took > limit {
		t.Errorf("%d sessions take %d bytes, by the recorder's count %d of %d", sessions, took, s.LaneMemory, s.MemoryLimit)
	}
	book := &producers[7].lane.losses
	book.mu.Lock()
	n := len(book.entries)
	book.mu.Unlock()
	if n < maxLosses {
		t.Errorf("%d losses in a lane; the test proves little", n)
	}

	// Up to the limit, and not beyond it.
	more := 0
	for ; err == nil; more++ {
		_, err = r.Producer(fmt.Sprint("more ", more), nil)
	}
	if want := "a lane of 131072 bytes exceeds Options.MemoryLimit: open lanes take 67108864 of 67108864 bytes; close producers"; !strings.Contains(err.Error(), want) || more != 13 {
		t.Errorf("producer %d beyond %d: %v", more, sessions, err)
	}
	open()
	mustClose(t, r)

	records, ids := readAll(t, dir)
	var got [sessions + 13]struct{ records, lost uint64 }
	for _, rec := range records {
		switch g := &got[max(rec.Stream, 1)-1]; rec.Kind {
		case journal.KindData:
			g.records++
		case journal.KindLoss:
			l, err := journal.ParseLoss(rec.Payload)
			if err != nil || l.First != g.records+g.lost && g.lost < maxLosses {
				t.Fatalf("stream %d: loss %+v behind %+v, %v", rec.Stream, l, *g, err)
			}
			g.lost += l.Records
		}
	}
	for _, s := range r.Stats().Streams {
		if g := got[ids[s.Name]-1]; g.records != s.Records || g.lost != s.Lost || s.LagRecords != 0 {
			t.Errorf("stream %s: the archive has %+v, stats %+v", s.Name, g, s)
		}
	}
}

func sum(s Stats, of func(StreamStats) uint64) (n uint64) {
	for _, st := range s.Streams {
		n += of(st)
	}
	return n
}

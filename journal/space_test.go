package journal

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

func TestDiskFill(t *testing.T) {
	const gib = 1 << 30
	type look struct {
		at   time.Duration
		free int64
	}
	for _, tc := range []struct {
		name  string
		looks []look
		fill  int64
		in    time.Duration
		ok    bool
	}{
		{"one look tells no rate", []look{{0, gib}}, 0, 0, false},
		{"nor do two within a moment", []look{{0, gib}, {5 * time.Second, gib - 5000}}, 0, 0, false},
		{"ten seconds do", []look{{0, gib}, {10 * time.Second, 5000}}, (gib - 5000) / 10, 0, true},
		{"steady", []look{{0, 4000}, {20 * time.Second, 2000}}, 100, 20 * time.Second, true},
		{"not filling", []look{{0, gib}, {20 * time.Second, gib}}, 0, 0, false},
		{"emptying", []look{{0, gib}, {20 * time.Second, gib + 2000}}, -100, 0, false},
		{"full", []look{{0, 2000}, {20 * time.Second, 0}}, 100, 0, true},
		{"slow on a large disk", []look{{0, 1 << 60}, {100 * time.Second, 1<<60 - 100}}, 1, 1 << 62, true},
		// What was before the window does not count: a backup that ran then and is over.
		{"the past is forgotten", []look{{0, 9000}, {150 * time.Second, 3000}, {300 * time.Second, 3000}, {310 * time.Second, 3000}}, 0, 0, false},
		{"a window back it is not", []look{{0, 9000}, {150 * time.Second, 3000}, {200 * time.Second, 3000}}, 30, 100 * time.Second, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s space
			start := time.Unix(1000, 0)
			for _, l := range tc.looks {
				s.take("dir", start.Add(l.at), l.free, 1<<62, nil)
			}
			var st Stats
			s.stats(&st)
			in, ok := st.DiskFullIn()
			if ok && tc.in == 0 {
				in = 0 // only whether
			}
			if st.DiskFill != tc.fill || in != tc.in || ok != tc.ok {
				t.Errorf("fills by %d B/s, full in %v, %v; want %d, %v, %v", st.DiskFill, in, ok, tc.fill, tc.in, tc.ok)
			}
		})
	}
}

// A takeover on another disk begins anew, and a disk that does not answer is not known.
func TestDiskElsewhere(t *testing.T) {
	var s space
	start := time.Unix(1000, 0)
	s.take("a", start, 1000, 2000, nil)
	s.take("a", start.Add(20*time.Second), 0, 2000, nil)
	s.take("b", start.Add(25*time.Second), 5000, 8000, nil)
	var st Stats
	s.stats(&st)
	if st.DiskFill != 0 || st.DiskFree != 5000 || st.DiskSize != 8000 {
		t.Errorf("on another disk: %d of %d free, fills by %d B/s", st.DiskFree, st.DiskSize, st.DiskFill)
	}
	s.take("b", start.Add(30*time.Second), 0, 0, errors.New("gone"))
	s.stats(&st)
	if !st.DiskAt.IsZero() || st.DiskSize != 0 || st.DiskFree != 0 {
		t.Errorf("a disk that does not answer was looked at %v, and has %d of %d bytes free", st.DiskAt, st.DiskFree, st.DiskSize)
	}
}

// A Writer looks at its disk when it is opened and from then on.
func TestStatsDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMem()
		disk.SetLimit(8 << 20)
		w, err := Open("archive", &Options{FS: disk})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := w.Stats()
		if before.DiskAt.IsZero() || before.DiskSize != 8<<20 || before.DiskFree < before.DiskSize-disk.Used() || before.DiskFree >= before.DiskSize {
			t.Errorf("at first: %d of %d free at %v, %d used", before.DiskFree, before.DiskSize, before.DiskAt, disk.Used())
		}
		if _, err := w.Append(Record{Payload: make([]byte, 1<<18)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * spaceEvery) // of the test's own clock
		synctest.Wait()
		st := w.Stats()
		in, ok := st.DiskFullIn()
		if st.DiskFree > before.DiskFree-1<<18 || !ok || in < time.Minute {
			t.Errorf("%d of %d free, was %d; full in %v, %v", st.DiskFree, st.DiskSize, before.DiskFree, in, ok)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRealDisk(t *testing.T) {
	w, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.lookAtSpace(time.Now())
	switch st := w.Stats(); {
	case st.DiskAt.IsZero():
		if _, _, err := vfs.OS.Space("."); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("the disk was not looked at: %v", err)
		}
	case st.DiskFree <= 0 || st.DiskFree > st.DiskSize:
		t.Errorf("%d of %d bytes free", st.DiskFree, st.DiskSize)
	}
}

// deadDisk is a disk that never says how much room it has.
type deadDisk struct {
	vfs.FS
	asked, ended chan struct{}
}

func (d *deadDisk) Space(dir string) (free, size int64, err error) {
	close(d.asked)
	<-d.ended
	return d.FS.Space(dir)
}

// A disk that does not answer holds up neither records, nor Stats, nor Close.
func TestDiskDoesNotAnswer(t *testing.T) {
	disk := &deadDisk{vfs.NewMem(), make(chan struct{}), make(chan struct{})}
	defer close(disk.ended)
	w, err := Open("archive", &Options{FS: disk, SegmentSize: minSegmentSize})
	if err != nil {
		t.Fatal(err)
	}
	<-disk.asked
	for range 10 { // several segments
		if _, err := w.Append(Record{Payload: make([]byte, minSegmentSize/2)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := w.Stats(); !st.DiskAt.IsZero() || st.Segments < 3 {
		t.Errorf("%d segments, the disk was seen at %v", st.Segments, st.DiskAt)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

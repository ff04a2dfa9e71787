package journal

import (
	"sync"
	"time"
)

const (
	spaceEvery  = 5 * time.Second   // between two looks at the disk
	spaceWindow = 150 * time.Second // the fill rate is that of the last one to two windows
	spaceLeast  = 10 * time.Second  // less time tells nothing about the rate
)

// space is what was seen of the disk. A rate needs two looks: it is taken over the time since old, and recent becomes old once it
// is a window old itself.
type space struct {
	mu               sync.Mutex // never held during I/O
	now, recent, old spaceLook
	size             int64
	home             string // directory that was looked at
}

// spaceLook is the free space at one moment; zero: none.
type spaceLook struct {
	at   time.Time
	free int64
}

// watchSpace looks at the disk until Close. Nothing waits for it, not even Close: a disk that does not answer may keep it for ever, while
// a takeover has gone to another one.
func (w *Writer) watchSpace() {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for now := time.Now(); ; {
		w.lookAtSpace(now)
		select {
		case now = <-tick.C:
		case <-w.quit:
			return
		}
	}
}

// lookAtSpace asks how much room there is where the archive is being written.
func (w *Writer) lookAtSpace(now time.Time) {
	w.sync.mu.Lock()
	home := w.sync.home
	w.sync.mu.Unlock()
	free, size, err := w.a.fs.Space(home)
	w.space.take(home, now, free, size, err)
}

// take takes in one look. An error, or another directory, makes it begin anew.
func (s *space) take(home string, now time.Time, free, size int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	look := spaceLook{at: now, free: free}
	switch {
	case err != nil:
		s.now, s.recent, s.old, s.home, s.size = spaceLook{}, spaceLook{}, spaceLook{}, "", 0
		return
	case s.home != home:
		s.recent, s.old, s.home = look, look, home
	case now.Sub(s.recent.at) >= spaceWindow:
		s.recent, s.old = look, s.recent
	}
	s.now, s.size = look, size
}

func (s *space) stats(st *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.DiskAt, st.DiskSize, st.DiskFree = s.now.at, s.size, s.now.free
	if over := s.now.at.Sub(s.old.at); over >= spaceLeast {
		st.DiskFill = int64(float64(s.old.free-s.now.free) / over.Seconds())
	}
}

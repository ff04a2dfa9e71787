package main

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/nexus-logbuf/logbuf/journal"
)

// snapshotter writes snapshots beside the service, one at a time, and holds the
// journal back from trimming what the oldest of them does not cover.
type snapshotter struct {
	dir    string
	every  uint64
	fail   func(error)
	cursor *journal.Cursor
	last   uint64 // sequence of the last one asked for

	queue chan snapshot
	done  sync.WaitGroup
}

// snapshot is a state on its way to the disk.
type snapshot struct {
	seq, epoch uint64
	state      []byte
}

// newSnapshotter returns a snapshotter that knows the whole snapshots in dir,
// newest first, and has seen to the cursor, "snapshot". The cursor is at the
// oldest snapshot, so that each of them can be started from; without one it
// holds everything.
func newSnapshotter(s *Service, dir string, whole []string) (*snapshotter, error) {
	h := &snapshotter{dir: dir, every: s.config.SnapshotEvery, fail: s.fail, last: s.state.Seq, queue: make(chan snapshot, 1)}
	o := &journal.CursorOptions{FS: s.config.Journal.FS}
	if len(whole) > 0 {
		o.Seq = snapshotSeq(whole[len(whole)-1])
	}
	var err error
	var damaged *journal.CorruptionError
	if h.cursor, err = journal.OpenCursor(journalDir(s.config.Dir), "snapshot", o); errors.As(err, &damaged) {
		fmt.Fprintf(s.config.Log, "cursor made anew: %v\n", err)
		o.Reset = true
		h.cursor, err = journal.OpenCursor(journalDir(s.config.Dir), "snapshot", o)
	}
	if err != nil {
		return nil, err
	}
	h.done.Go(h.run)
	return h, nil
}

// applied makes a snapshot of the state if it is time for one and the one
// before is written. It is called between records; the state is not kept.
func (h *snapshotter) applied(s *State, epoch uint64) {
	if h.every == 0 || s.Seq-h.last < h.every || len(h.queue) > 0 {
		return
	}
	b, err := s.encode()
	if err != nil {
		h.fail(err)
		return
	}
	h.last = s.Seq
	h.queue <- snapshot{s.Seq, epoch, b} // there is room: only this goroutine sends
}

func (h *snapshotter) run() {
	for shot := range h.queue {
		if err := h.write(shot); err != nil {
			h.fail(fmt.Errorf("snapshot: %w", err))
		}
	}
}

// write makes a snapshot, and then, in this order, lets the journal go and the
// snapshots that are too many.
func (h *snapshotter) write(shot snapshot) error {
	if err := writeSnapshot(h.dir, shot.seq, shot.epoch, shot.state); err != nil {
		return err
	}
	names, err := snapshots(h.dir)
	if err != nil {
		return err
	}
	keep := min(keepSnapshots, len(names))
	if err := h.cursor.Save(snapshotSeq(names[keep-1]), shot.epoch); err != nil {
		return err
	}
	snapshotStep("cursor saved")
	for _, name := range names[keep:] {
		if err := os.Remove(name); err != nil {
			return err
		}
		snapshotStep("removed")
	}
	return nil
}

// close waits for the snapshot that is being written. The caller applies no
// more.
func (h *snapshotter) close() {
	close(h.queue)
	h.done.Wait()
}

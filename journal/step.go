package journal

// A stepped Writer has neither syncer nor preparer: whoever uses it calls stepSync and stepPrepare, each of which does one turn of theirs on
// the caller's goroutine. A call that would have to wait for them takes turns itself. So the whole of a writer's I/O happens in one order that
// the caller chose, which is what the tests that crash it at every operation need. Neither takes mu, so they may run inside an operation of
// the other parts, too, as long as that is not the write of HEAD.

// stepSync does the syncer's next turn whatever the policy says, and reports whether there was something to do: it seals what rotation has
// left behind, and makes durable what is written.
func (w *Writer) stepSync() (worked bool) {
	s := &w.sync
	s.mu.Lock()
	worked = !s.broken && !s.syncing && (s.poisoned != nil || s.sealing != nil || s.force || s.written.pos > s.durable.pos)
	s.mu.Unlock()
	if worked {
		w.syncOnce()
	}
	return worked
}

// stepPrepare does the preparer's next turn, and reports whether it was asked for one.
func (w *Writer) stepPrepare() (worked bool) {
	select {
	case <-w.prepare:
		w.prepareOnce()
		return true
	default:
		return false
	}
}

// pause waits for the next wake, with sync.mu released meanwhile; false when done was closed first. The caller holds sync.mu.
func (w *Writer) pause(done <-chan struct{}) bool {
	s := &w.sync
	if w.stepped {
		s.mu.Unlock()
		defer s.mu.Lock()
		if !w.stepPrepare() && !w.stepSync() {
			panic("journal: a stepped writer waits for what no step will do")
		}
		return true
	}
	changed := s.wakeup()
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
		return true
	case <-done:
		return false
	}
}

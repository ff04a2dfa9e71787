package source

import (
	"io"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
)

// fixBuffer is what is read at once from a FIX connection, bytes.
const fixBuffer = 16 << 10

// tap records the FIX messages of r until r fails, and returns that error.
func (s *Source) tap(r io.Reader) error {
	t := s.newTap()
	defer t.close()
	buf := make([]byte, fixBuffer)
	for {
		n, err := r.Read(buf)
		t.note(t.In(buf[:n]))
		if err != nil {
			return err
		}
	}
}

// fixTap is a fixbuf.Tap that tells a person about its first error.
type fixTap struct {
	*fixbuf.Tap
	s      *Source
	warned bool
}

func (s *Source) newTap() *fixTap { return &fixTap{Tap: s.opts.Sessions.NewTap(), s: s} }

// note is for one goroutine at a time.
func (t *fixTap) note(err error) {
	if err != nil && !t.warned {
		t.warned = true
		t.s.warn("%s: not recorded: %v", t.s.spec.Name, err)
	}
}

func (t *fixTap) close() {
	t.note(t.Close())
	if t.Session() == "" {
		t.s.warn("%s: a connection has ended in which there was no FIX message", t.s.spec.Name)
	}
}

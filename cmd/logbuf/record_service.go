package main

import (
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/sdnotify"
)

// service tells systemd how the recording is, if systemd started this process
// and wants to know: ready, a line of numbers, alive, stopping.
type service struct {
	*sdnotify.Notifier
	view     recordView    // has the rates since the last line of numbers
	alive    time.Duration // when systemd was last told so
	told     time.Duration // when the last line of numbers was sent
	stopping bool
}

// statusEvery is how often systemd gets a line of numbers.
const statusEvery = 5 * time.Second

// openService hooks a service into cfg, after what is there.
func openService(cfg *capture.Config) (*service, error) {
	n, err := sdnotify.Open()
	s := &service{Notifier: n}
	if n != nil {
		began := cfg.Began
		cfg.Began = func(state func() *capture.Snapshot) {
			if began != nil {
				began(state)
			}
			s.Send(sdnotify.Ready, sdnotify.Status("recording %s into %s", cli.Plural(len(cfg.Sources), "source"), cfg.Dir))
		}
		cfg.Watch = s.see
	}
	return s, err
}

// see is called now and then, from one goroutine, as long as the recording is
// looked after; a disk that hangs does not keep it from that.
func (s *service) see(now *capture.Snapshot) {
	if d := s.Watchdog(); d > 0 && (s.alive == 0 || now.Elapsed-s.alive >= d) {
		s.Send(sdnotify.Watchdog)
		s.alive = now.Elapsed
	}
	switch {
	case now.Draining && !s.stopping:
		s.stopping = true
		s.Send(sdnotify.Stopping, sdnotify.Status("stopping: writing what has come"))
	case now.Elapsed-s.told >= statusEvery:
		s.told = now.Elapsed
		s.view.rates(now)
		s.Send(sdnotify.Status("%s", s.view.text(now)))
	}
}

// end tells how the recording ended.
func (s *service) end(err error) {
	status := sdnotify.Status("recorded")
	if err != nil {
		status = sdnotify.Status("%v", err)
	}
	s.Send(sdnotify.Stopping, status)
	s.Close()
}

package main

import (
	"fmt"
	"io"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/monitor"
)

// serveMetrics begins to serve the recording's counters and health where
// --metrics says, and tells w where that is. An address that cannot be had is an
// error before anything is recorded.
func serveMetrics(cfg *capture.Config, w io.Writer) (stop func(), err error) {
	if cfg.Metrics == "" {
		return func() {}, nil
	}
	srv, err := monitor.Listen(cfg.Metrics, &cfg.Journal)
	if err != nil {
		return nil, fmt.Errorf("--metrics %s: %w", cfg.Metrics, err)
	}
	cfg.Began = srv.Show
	fmt.Fprintf(w, "metrics and health at http://%s/\n", srv.Addr())
	return srv.Close, nil
}

package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/prombuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds on clients: a stranger may cost a little memory for a few seconds.
const (
	maxHeader   = 8 << 10     // bytes
	maxScrapes  = 4           // at once
	goodbyeTime = time.Second // for requests under way at the end
)

// bounds are those that tests make smaller.
type bounds struct {
	conns             int           // at once
	read, write, idle time.Duration // idle: scrapers keep their connection
}

var normal = bounds{conns: 32, read: 5 * time.Second, write: 15 * time.Second, idle: 2 * time.Minute}

// Server serves the state of one recording.
type Server struct {
	ln    net.Listener
	http  *http.Server
	check *Checker
	reg   *prometheus.Registry
	state atomic.Pointer[func() *capture.Snapshot] // nil before the recording has begun

	quit chan struct{}
	done sync.WaitGroup
}

// Listen begins to serve at a TCP address, HOST:PORT; port 0 takes a free one.
// What the recording does is shown once Show was called. options are the
// recording's.
func Listen(addr string, options *journal.Options) (*Server, error) {
	return listen(addr, options, normal)
}

func listen(addr string, options *journal.Options, b bounds) (*Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Server{ln: newLimited(ln, b.conns), check: NewChecker(options), reg: prometheus.NewRegistry(), quit: make(chan struct{})}
	s.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.http = &http.Server{
		Handler:     s.handler(),
		ReadTimeout: b.read, WriteTimeout: b.write, IdleTimeout: b.idle, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(io.Discard, "", 0), // what strangers do wrong is no news
	}
	s.done.Go(func() { _ = s.http.Serve(s.ln) }) // ends with Close
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Show makes it serve what state returns, which any goroutine may call at any
// time. It is called once, when the recording begins.
func (s *Server) Show(state func() *capture.Snapshot) {
	s.reg.MustRegister(prombuf.NewCollector(func() recorder.Stats { return state().Stats }), &collector{state, s.check})
	s.state.Store(&state)
	s.done.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			s.check.Look(time.Now(), state())
			select {
			case <-tick.C:
			case <-s.quit:
				return
			}
		}
	})
}

// Close answers the requests under way, for a second at most, and ends.
func (s *Server) Close() {
	close(s.quit)
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTime)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // they had their time
	}
	s.done.Wait()
}

const index = `logbuf record
  /metrics     for Prometheus
  /healthz     is it keeping up? 200 yes, 503 no, and why
  /debug/vars  the counters as JSON
`

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, index) })
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /debug/vars", s.vars)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.reg, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}))
	return mux
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) // whoever has gone does not want it
}

// health says whether the recording keeps up: 200 and one line, or 503 and a
// line for each reason.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	state := s.state.Load()
	if state == nil {
		plain(w, http.StatusServiceUnavailable, "the recording has not begun\n")
		return
	}
	now := (*state)()
	if reasons := s.check.Look(time.Now(), now); reasons != nil {
		plain(w, http.StatusServiceUnavailable, strings.Join(reasons, "\n")+"\n")
		return
	}
	var records uint64
	for _, st := range now.Stats.Streams {
		records += st.Records
	}
	plain(w, http.StatusOK, fmt.Sprintf("keeping up: %d of %s connected, %s recorded, %s not durable yet (%s)\n",
		connected(now.Sources), cli.Plural(len(now.Sources), "source"), cli.Plural(records, "record"),
		cli.Count(now.Stats.UndurableRecords), cli.Elapsed(now.Stats.Lag)))
}

// vars is what package expvar would show, without the command line, which may
// have secrets in it.
func (s *Server) vars(w http.ResponseWriter, _ *http.Request) {
	type src struct {
		Name        string
		State       string
		Connections uint64
		Gaps        uint64
	}
	var v struct {
		Logbuf  *recorder.Stats `json:"logbuf"`
		Sources []src           `json:"sources"`
	}
	if state := s.state.Load(); state != nil {
		now := (*state)()
		v.Logbuf = &now.Stats
		for _, one := range now.Sources {
			v.Sources = append(v.Sources, src{one.Name, one.State.String(), one.Connections, one.Gaps})
		}
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(append(b, '\n')) // as above
}

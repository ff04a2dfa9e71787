package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/serve"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/replay"
	"github.com/spf13/cobra"
)

const connectTimeout = 10 * time.Second

// toTCP replays into one connection.
func (p *replaying) toTCP(ctx context.Context, cmd *cobra.Command, dir string) error {
	d := net.Dialer{Timeout: connectTimeout}
	nc, err := d.DialContext(ctx, "tcp", p.to.addr)
	if err != nil {
		if ctx.Err() != nil {
			return interruptIsFine(context.Cause(ctx))
		}
		return fmt.Errorf("--to %s: %w", p.to.String(), err)
	}
	report, err := p.overTCP(ctx, cmd, dir, nc)
	if p.summary || cli.IsTerminal(cmd.ErrOrStderr()) {
		fmt.Fprintln(cmd.ErrOrStderr(), p.summarize(report))
	}
	return after(report, err)
}

// after says with a peer's error how far the replay had come.
func after(r replay.Report, err error) error {
	var perr *serve.PeerError
	if errors.As(err, &perr) {
		err = fmt.Errorf("after %s: %w", cli.Plural(r.Records, "record"), err)
	}
	return err
}

func (p *replaying) overTCP(ctx context.Context, cmd *cobra.Command, dir string, nc net.Conn) (replay.Report, error) {
	conn := serve.NewTCP(ctx, nc, time.Duration(p.patience))
	report, err := p.write(conn.Context(), cmd, dir, conn)
	if closeErr := conn.Close(); err == nil {
		err = closeErr
	}
	return report, err
}

// serving is one run of replay with a listener.
type serving struct {
	*replaying
	cmd    *cobra.Command
	dir    string
	server serve.Server
	status *cli.Status

	mu      sync.Mutex
	archive error // the first error about the archive
	broken  int   // clients that did not get everything
}

// serve replays to every client that connects.
func (p *replaying) serve(ctx context.Context, cmd *cobra.Command, dir string) error {
	names, err := p.served(dir)
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", p.to.addr)
	if err != nil {
		return fmt.Errorf("--to %s: %w", p.to.String(), err)
	}
	s := &serving{replaying: p, cmd: cmd, dir: dir, server: serve.Server{Clients: p.clients}, status: cli.NewStatus(cmd.ErrOrStderr())}
	handle, where := s.tcpClient, "tcp://"+ln.Addr().String()
	if p.to.kind == toWebSocket {
		handle, where = s.webSocketClient, "ws://"+ln.Addr().String()+"/"
	}
	what := "all records"
	if p.to.kind == toWebSocket && len(names) > 0 {
		what = fmt.Sprintf("%s (%s)", cli.Plural(len(names), "stream"), strings.Join(quoteAll(names), ", "))
	}
	s.status.Println("serving %s of %s on %s; Ctrl-C ends it", what, dir, where)
	if err := s.server.Serve(ctx, ln, handle); err != nil {
		return err
	}
	if s.archive == nil && s.broken > 0 && ctx.Err() == nil {
		return fmt.Errorf("%s of %d did not get everything", cli.Plural(s.broken, "client"), p.clients)
	}
	return s.archive
}

// served are the names of the streams that a WebSocket client can ask for: those of --stream, or all that the archive defines now.
func (p *replaying) served(dir string) ([]string, error) {
	a, err := openArchive(dir, &journal.ReaderOptions{End: true})
	if err != nil {
		return nil, err
	}
	defer a.close()
	if len(p.sel.streams) > 0 {
		return p.sel.streams, p.sel.unknownStreams(a.names)
	}
	return a.names.all(), nil
}

func (s *serving) tcpClient(ctx context.Context, nc net.Conn) {
	if !s.server.Admit() {
		return
	}
	report, err := s.overTCP(ctx, s.cmd, s.dir, nc)
	s.note(ctx, nc.RemoteAddr().String(), s.summarize(report), after(report, err))
}

func (s *serving) webSocketClient(ctx context.Context, nc net.Conn) {
	who := nc.RemoteAddr().String()
	sel := s.sel
	err := serve.Upgrade(nc, func(uri string) error {
		names, err := s.served(s.dir)
		if err != nil {
			return errors.New("the archive cannot be read")
		}
		stream, err := chooseStream(names, uri)
		if err == nil && !s.server.Admit() {
			err = errors.New("enough clients have come")
		}
		if stream != "" {
			sel.streams = []string{stream}
			who += " " + stream
		}
		return err
	})
	if err != nil {
		s.status.Println("%s: turned away: %s", who, strings.TrimSpace(err.Error()))
		return
	}
	text, err := s.overWebSocket(ctx, nc, &sel)
	s.note(ctx, who, text, err)
}

// overWebSocket replays one stream to a client that has been let in.
func (s *serving) overWebSocket(ctx context.Context, nc net.Conn, sel *selection) (string, error) {
	opts := journal.ReaderOptions{Salvage: s.salvage}
	a, err := sel.open(s.dir, &opts)
	if err != nil {
		return "replayed nothing", err
	}
	defer a.close()
	w := serve.NewWebSocket(ctx, nc, s.fromWebSocket(ctx, sel, opts), time.Duration(s.patience))
	r := &player{replaying: s.replaying, archive: a, readerOptions: opts, sel: sel, wanted: serve.Inbound, flush: w.Flush,
		say: s.status.Println}
	report, err := r.play(w.Context(), w.Send)
	var perr *serve.PeerError
	switch {
	case err == nil:
		err = w.Close()
	case ctx.Err() != nil:
		w.Abort(ws.StatusGoingAway, "the replay is stopping") // the client is told if it still listens
	case errors.As(err, &perr):
		w.Abort(ws.StatusGoingAway, "")
	default:
		w.Abort(ws.StatusInternalServerError, "the archive cannot be replayed further")
	}
	text := s.summarize(report)
	c := w.Counts()
	if c.Skipped > 0 {
		text += fmt.Sprintf("; not sent: %s that are no frames of a message", cli.Plural(c.Skipped, "record"))
	}
	if c.Cut > 0 {
		text += fmt.Sprintf("; ended early: %s in fragments", cli.Plural(c.Cut, "message"))
	}
	return text, after(report, err)
}

// fromWebSocket looks at the first records of a selection for one with an opcode. A byte stream's records have none.
func (s *serving) fromWebSocket(ctx context.Context, sel *selection, opts journal.ReaderOptions) bool {
	const enough, limit = 64, 1 << 16 // records of the stream, and of the archive
	a, err := openArchive(s.dir, &opts)
	if err != nil {
		return false // the replay itself meets the error
	}
	defer a.close()
	for seen, read := 0, 0; seen < enough && read < limit; read++ {
		rec, err := a.reader.Next(ctx)
		if _, ok := errors.AsType[*journal.GapError](err); ok {
			continue
		}
		if err != nil {
			return false
		}
		if !sel.match(rec, a.names) {
			continue
		}
		if seen++; rec.Kind == journal.KindData && rec.Flags&journal.FlagSourceMask != 0 {
			return true
		}
	}
	return false
}

// note says how a client fared, and keeps what the exit code depends on.
func (s *serving) note(ctx context.Context, who, text string, err error) {
	switch {
	case err == nil:
		s.status.Println("%s: %s", who, text)
		return
	case ctx.Err() != nil:
		s.status.Println("%s: %s; stopped", who, text)
		return
	}
	s.status.Println("%s: %s; broke off: %v", who, text, err)
	var perr *serve.PeerError
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken++; s.archive == nil && !errors.As(err, &perr) {
		s.archive = err
	}
}

// chooseStream finds the stream that a client asks for: by its path, or the query parameter "stream". No name and no error is all records
// of an archive that has no streams.
func chooseStream(names []string, uri string) (string, error) {
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return "", errors.New("bad request")
	}
	want := u.Query().Get("stream")
	if want == "" {
		want = strings.Trim(u.Path, "/")
	}
	var found []string
	for _, name := range names {
		if name == want {
			return name, nil
		}
		if want != "" && strings.HasSuffix(name, "/"+want) {
			found = append(found, name)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(names) == 0:
		return "", nil
	case len(names) == 1:
		return names[0], nil
	}
	if len(found) == 0 {
		found = names
	}
	paths := make([]string, len(found))
	for i, name := range found {
		paths[i] = "/" + url.PathEscape(name)
	}
	slices.Sort(paths)
	return "", fmt.Errorf("no one stream is meant; there are: %s", strings.Join(paths, " "))
}

// output is what a command prints to: standard output or a connection.
type output interface {
	io.Writer
	Flush() error
}

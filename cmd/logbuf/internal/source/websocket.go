package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
)

// webSocket is a session over a WebSocket connection.
type webSocket struct {
	conn      *wsbuf.Conn
	subscribe [][]byte
}

func (s *Source) dialWebSocket(ctx context.Context) (session, error) {
	conn, err := wsbuf.Dial(ctx, s.spec.URL, s.p, &wsbuf.Options{
		MaxFrame:         s.opts.MaxFrame,
		Outbound:         s.opts.Outbound,
		Deflate:          s.opts.Deflate,
		IdleTimeout:      s.opts.IdleTimeout,
		CloseTimeout:     StopTime,
		Header:           s.opts.Header,
		Subprotocols:     s.opts.Subprotocols,
		TLS:              s.opts.TLS,
		HandshakeTimeout: s.opts.DialTimeout,
	})
	if err != nil {
		return nil, err
	}
	return &webSocket{conn, s.opts.Subscribe}, nil
}

func (w *webSocket) record(ctx, patience context.Context) error {
	for i, message := range w.subscribe {
		if err := w.conn.Send(patience, ws.OpText, message); err != nil {
			return asRecordError(fmt.Errorf("subscribe message %d: %w", i+1, err))
		}
	}
	return asRecordError(w.conn.Record(ctx))
}

func (w *webSocket) close() { w.conn.Close() }

// asRecordError marks errors that come from the recorder.
func asRecordError(err error) error {
	var rerr *wsbuf.RecordError
	if errors.As(err, &rerr) {
		return &RecordError{err}
	}
	return err
}

package wsbuf

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// deflateName is the extension's, RFC 7692.
const deflateName = "permessage-deflate"

// maxErrorBody is how much of the body of a refused handshake is kept, bytes.
const maxErrorBody = 256

// Dial opens a WebSocket connection to rawURL, a ws:// or wss:// URL, as a
// client that records into p; see NewConn. No extension is offered, unless
// Options.Deflate asks for one: then the answer to the handshake is the first
// record, see KindHandshake. Errors name the URL without its query, which may
// hold a secret; a server that answers with anything but a WebSocket gives a
// *HandshakeError.
func Dial(ctx context.Context, rawURL string, p *recorder.Producer, opts *Options) (*Conn, error) {
	o := opts.withDefaults()
	o.Server = false
	nc, br, hs, err := dial(ctx, rawURL, &o)
	if err != nil {
		return nil, err
	}
	if o.Deflate == DeflateOff {
		return NewConn(nc, br, p, &o), nil
	}
	if len(hs.Extensions) == 0 {
		o.Deflate = DeflateOff
	}
	c := NewConn(nc, br, p, &o)
	c.patience = ctx
	if err := c.recordAnswer(hs); err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// recordAnswer records what the server agreed to.
func (c *Conn) recordAnswer(hs ws.Handshake) error {
	var extensions strings.Builder
	if _, err := httphead.WriteOptions(&extensions, hs.Extensions); err != nil {
		return err
	}
	return c.recordKind(KindHandshake, 0, answer(hs.Protocol, extensions.String()))
}

// offer are the extensions that are offered.
func (d Deflate) offer() []httphead.Option {
	params := map[string]string{"client_no_context_takeover": ""}
	switch d {
	case DeflateOff:
		return nil
	case DeflateRaw:
		params["server_no_context_takeover"] = ""
	}
	return []httphead.Option{httphead.NewOption(deflateName, params)}
}

func dial(ctx context.Context, rawURL string, o *Options) (net.Conn, *bufio.Reader, ws.Handshake, error) {
	none := ws.Handshake{}
	name, err := checkURL(rawURL)
	if err != nil {
		return nil, nil, none, err
	}
	var refused *HandshakeError
	header := maps.Clone(o.Header)
	host := header.Get("Host")
	header.Del("Host")
	d := ws.Dialer{
		ReadBufferSize: o.ReadBuffer,
		Protocols:      o.Subprotocols,
		Extensions:     o.Deflate.offer(),
		Header:         ws.HandshakeHeaderHTTP(header),
		Host:           host,
		TLSConfig:      o.TLS,
		OnStatusError: func(status int, reason []byte, resp io.Reader) {
			refused = &HandshakeError{URL: name, Status: status, Reason: string(reason), Body: errorBody(resp)}
		},
	}
	// The dialer's own Timeout is not used: its error does not say what took so
	// long.
	tctx, cancel := context.WithTimeout(ctx, o.HandshakeTimeout)
	defer cancel()
	start := time.Now()
	nc, br, hs, err := d.Dial(tctx, rawURL)
	switch {
	case err == nil:
		return nc, br, hs, nil
	case refused != nil:
		return nil, nil, none, refused
	case ctx.Err() != nil:
		return nil, nil, none, fmt.Errorf("%s: %w", name, context.Cause(ctx))
	case tctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		return nil, nil, none, fmt.Errorf("%s: no WebSocket connection after %v: %w", name, time.Since(start).Round(time.Millisecond), err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, nil, none, fmt.Errorf("%s: the server closed the connection during the handshake: %w", name, err)
	}
	return nil, nil, none, fmt.Errorf("%s: %w", name, err)
}

// checkURL returns the URL as it may be printed.
func checkURL(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error of url.Parse quotes the whole URL, with its secrets.
		var uerr *url.Error
		if errors.As(err, &uerr) {
			err = uerr.Err
		}
		return "", fmt.Errorf("bad WebSocket URL: %w", err)
	}
	name := u.Scheme + "://" + u.Host + u.EscapedPath()
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss":
		return "", fmt.Errorf("bad WebSocket URL: scheme %q; must be ws or wss", u.Scheme)
	case u.Hostname() == "":
		return "", fmt.Errorf("bad WebSocket URL %s: no host", name)
	case u.User != nil:
		return "", fmt.Errorf("bad WebSocket URL %s: user and password in a URL are not sent; use an Authorization header", name)
	case u.Fragment != "":
		return "", fmt.Errorf("bad WebSocket URL %s: a fragment (#…) is not allowed", name)
	}
	return name, nil
}

// errorBody reads the beginning of a refused handshake's body. resp is the whole
// response as it came.
func errorBody(resp io.Reader) string {
	r, err := http.ReadResponse(bufio.NewReader(io.LimitReader(resp, 64<<10)), nil)
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(r.Body, maxErrorBody))
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == 0xFFFD {
			return ' '
		}
		return r
	}, string(b))
	return strings.Join(strings.Fields(text), " ")
}

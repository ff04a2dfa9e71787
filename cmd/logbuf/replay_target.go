package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/nexus-logbuf/logbuf/journal"
)

type targetKind uint8

const (
	toStdout targetKind = iota
	toTCP
	toTCPClients
	toWebSocket
)

// target is the value of replay --to.
type target struct {
	kind targetKind
	addr string // HOST:PORT
}

var targetSchemes = map[string]targetKind{"tcp": toTCP, "tcp-listen": toTCPClients, "ws-listen": toWebSocket}

// Set implements pflag.Value.
func (t *target) Set(text string) error {
	if text == "-" {
		*t = target{}
		return nil
	}
	const want = "write -, tcp://HOST:PORT, tcp-listen://HOST:PORT or ws-listen://HOST:PORT"
	scheme, addr, ok := strings.Cut(text, "://")
	kind, known := targetSchemes[strings.ToLower(scheme)]
	if !ok || !known {
		return fmt.Errorf("%q is no place that records can go to: %s", text, want)
	}
	host, port, err := net.SplitHostPort(strings.TrimSuffix(addr, "/"))
	if err != nil || port == "" || host == "" && kind == toTCP || strings.ContainsAny(host, "/@?#") {
		return fmt.Errorf("%q has no HOST:PORT: %s", text, want)
	}
	*t = target{kind: kind, addr: net.JoinHostPort(host, port)}
	return nil
}

// String implements pflag.Value.
func (t *target) String() string {
	for scheme, kind := range targetSchemes {
		if kind == t.kind {
			return scheme + "://" + t.addr
		}
	}
	return "-"
}

// Type implements pflag.Value.
func (*target) Type() string { return "where" }

func (t *target) listens() bool { return t.kind == toTCPClients || t.kind == toWebSocket }

// frame is the value of replay --frame.
type frame uint8

const (
	frameRaw frame = iota
	frameLine
	frameLen32
)

var frameNames = []string{"raw", "line", "len32"}

// Set implements pflag.Value.
func (f *frame) Set(text string) error {
	i := slices.Index(frameNames, text)
	if i < 0 {
		return fmt.Errorf("%q: must be raw, line or len32", text)
	}
	*f = frame(i)
	return nil
}

// String implements pflag.Value.
func (f frame) String() string { return frameNames[f] }

// Type implements pflag.Value.
func (frame) Type() string { return "how" }

// framedPrinter writes payloads of data records so that the reader can tell where each ends.
type framedPrinter struct {
	frame frame
	buf   []byte
}

func (p *framedPrinter) print(w io.Writer, rec journal.Record) error {
	if isControl(rec) {
		return nil
	}
	p.buf = p.buf[:0]
	if p.frame == frameLen32 {
		p.buf = binary.BigEndian.AppendUint32(p.buf, uint32(len(rec.Payload)))
	}
	p.buf = append(p.buf, rec.Payload...)
	if n := len(rec.Payload); p.frame == frameLine && (n == 0 || rec.Payload[n-1] != '\n') {
		p.buf = append(p.buf, '\n')
	}
	_, err := w.Write(p.buf)
	return err
}

package main

import (
	"fmt"
	"io"
	"net"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
)

// engine is one side of a session: just enough of one to have something to
// record. It knows no heartbeats and keeps no store.
type engine struct {
	conn     net.Conn
	me, peer string
	next     int // MsgSeqNum of the next message
	framer   *fixbuf.Framer
	rest     []byte // read and not framed yet
	buf      []byte
}

func newEngine(conn net.Conn, me, peer string) *engine {
	return &engine{conn: conn, me: me, peer: peer, next: 1, framer: fixbuf.NewFramer(0), buf: make([]byte, 4096)}
}

// send sends a message of that type; fields is its body, with a | behind each field.
func (e *engine) send(msgType, fields string) error {
	body := fmt.Sprintf("35=%s|34=%d|49=%s|52=%s|56=%s|%s", msgType, e.next, e.me, time.Now().UTC().Format("20060102-15:04:05.000"), e.peer, fields)
	e.next++
	m := fmt.Appendf(nil, "8=FIX.4.4|9=%d|%s", len(body), body)
	for i, c := range m {
		if c == '|' {
			m[i] = 1
		}
	}
	m = fmt.Appendf(m, "10=%03d\x01", fixbuf.Checksum(m))
	_, err := e.conn.Write(m)
	return err
}

// receive waits for the next message. What is in the header is valid until the
// next call.
func (e *engine) receive(h *fixbuf.Header) ([]byte, error) {
	for {
		part, b, rest := e.framer.Next(e.rest)
		e.rest = rest
		switch part {
		case fixbuf.Message:
			return b, h.Parse(b)
		case fixbuf.More:
			n, err := e.conn.Read(e.buf)
			if n == 0 {
				return nil, err
			}
			e.rest = e.buf[:n]
		default:
			return nil, fmt.Errorf("%s received %d bytes of %v", e.me, len(b), part)
		}
	}
}

// ahead is how many orders may be unfilled: neither side ever waits for the other to read.
const ahead = 100

// buy sends orders and waits until all of them are filled.
func buy(conn net.Conn, orders int) error {
	e := newEngine(conn, "BUYER", "SELLER")
	if err := e.send(fixbuf.TypeLogon, "98=0|108=30|"); err != nil {
		return err
	}
	var h fixbuf.Header
	sent := 0
	order := func() error {
		if sent == orders {
			return nil
		}
		sent++
		return e.send("D", fmt.Sprintf("11=o%d|55=ABC|54=1|38=100|40=2|44=10.5|", sent))
	}
	for filled := 0; filled < orders; {
		if _, err := e.receive(&h); err != nil {
			return fmt.Errorf("buyer, %d orders filled: %w", filled, err)
		}
		var err error
		switch {
		case h.Is(fixbuf.TypeLogon):
			for i := 0; i < ahead && err == nil; i++ {
				err = order()
			}
		case h.Is("8"):
			filled++
			err = order()
		}
		if err != nil {
			return err
		}
	}
	if err := e.send(fixbuf.TypeLogout, ""); err != nil {
		return err
	}
	_, err := e.receive(&h)
	return err
}

// sell fills orders until the buyer logs out. Once it skips a number, as an engine does that
// has lost a message.
func sell(ln net.Listener) error {
	conn, err := ln.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	e := newEngine(conn, "SELLER", "BUYER")
	var h fixbuf.Header
	for order := 0; ; {
		if _, err := e.receive(&h); err != nil {
			return fmt.Errorf("seller: %w", err)
		}
		switch {
		case h.Is(fixbuf.TypeLogon):
			err = e.send(fixbuf.TypeLogon, "98=0|108=30|")
		case h.Is("D"):
			if order++; order == 21 {
				e.next++
			}
			err = e.send("8", fmt.Sprintf("37=x%d|11=o%d|17=e%d|150=F|39=2|55=ABC|54=1|151=0|14=100|6=10.5|", order, order, order))
		case h.Is(fixbuf.TypeLogout):
			if err := e.send(fixbuf.TypeLogout, ""); err != nil {
				return err
			}
			_, err := io.Copy(io.Discard, conn)
			return err
		}
		if err != nil {
			return err
		}
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// maxClients is how many connections there may be at once; others are closed at
// once.
const maxClients = 1024

// server speaks with clients, each line a request and each request one line of
// answer, in order:
//
//	order ID SYMBOL QTY PRICE   ack ID filled, or ack ID rejected WHY
//	halt ID SYMBOL              ack ID done
//	resume ID SYMBOL            ack ID done
//	limit ID SYMBOL N           ack ID done
//	status ID                   known ID RESULT, or unknown ID
//	dump                        state JSON
//	stats                       stats JSON: the recorder's
//
// "ack" is sent when the command is durable and applied. "err WHY" is sent for
// what is no request. A connection that ends without an ack says nothing: the
// client sends the command again, with the same ID.
type server struct {
	service *Service
	clients sync.WaitGroup
}

// serve accepts connections until ctx ends, and returns when all are closed.
func (v *server) serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer v.clients.Wait()
	defer cancel()
	context.AfterFunc(ctx, func() { _ = l.Close() })
	room := make(chan struct{}, maxClients)
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case room <- struct{}{}:
			v.clients.Go(func() {
				defer func() { <-room }()
				v.client(ctx, conn)
			})
		default:
			_ = conn.Close()
		}
	}
}

func (v *server) client(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	in, out := bufio.NewReaderSize(conn, 2*maxLine), bufio.NewWriter(conn)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			fmt.Fprintf(out, "err a line of more than %d bytes\n", 2*maxLine)
			_ = out.Flush()
			return
		case err != nil:
			return // a line that is not whole is no request
		}
		if err := v.request(ctx, out, bytes.TrimRight(line, "\r\n")); err != nil {
			return
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

// request answers one line.
func (v *server) request(ctx context.Context, out io.Writer, line []byte) error {
	verb, rest, _ := bytes.Cut(line, []byte(" "))
	switch string(verb) {
	case "status":
		if result, known := v.service.Status(string(rest)); known {
			_, err := fmt.Fprintf(out, "known %s %s\n", rest, result)
			return err
		}
		_, err := fmt.Fprintf(out, "unknown %s\n", rest)
		return err
	case "dump":
		return answer(out, "state", v.service.dump)
	case "stats":
		return answer(out, "stats", func() ([]byte, error) { return json.Marshal(v.service.rec.Stats()) })
	}
	id, result, err := v.service.Do(ctx, line)
	if bad := (badCommand{}); errors.As(err, &bad) {
		_, err := fmt.Fprintf(out, "err %v\n", err)
		return err
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "ack %s %s\n", id, result)
	}
	return err
}

func answer(out io.Writer, word string, make func() ([]byte, error)) error {
	b, err := make()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s %s\n", word, b)
	return err
}

// dump returns the state without the ids.
func (s *Service) dump() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return json.Marshal(s.state)
}

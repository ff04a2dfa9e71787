package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
)

// client is a connection to the service, for one goroutine.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(addr string) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReader(conn)}, nil
}

// ask sends a line and returns the answer. After an error it is not known
// whether the service has seen the line.
func (c *client) ask(line string) (string, error) {
	if _, err := fmt.Fprintf(c.conn, "%s\n", line); err != nil {
		return "", err
	}
	answer, err := c.in.ReadString('\n')
	return strings.TrimSuffix(answer, "\n"), err
}

// do sends a command and returns its result.
func (c *client) do(line string) (result string, err error) {
	answer, err := c.ask(line)
	if err != nil {
		return "", err
	}
	id := strings.Fields(line)[1]
	result, ok := strings.CutPrefix(answer, "ack "+id+" ")
	if !ok {
		return "", errors.New(answer)
	}
	return result, nil
}

func (c *client) close() { _ = c.conn.Close() }

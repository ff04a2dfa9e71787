package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Kinds of the journal's records. Their payloads are text, so that `logbuf cat`
// shows them.
const (
	kindOrder   uint8 = 0x28 // "order ID SYMBOL QTY PRICE", and so are all commands: the line that the client has sent
	kindControl uint8 = 0x29 // "halt ID SYMBOL", "resume ID SYMBOL", "limit ID SYMBOL N"
	kindQuote   uint8 = 0x2A // "SYMBOL BID ASK"
)

// Streams of the journal.
const (
	streamQuotes  = "quotes"
	streamOrders  = "orders"
	streamControl = "control"
)

// Limits of commands. Cash of one order is at most maxQty × maxPrice = 10¹⁵.
const (
	maxID     = 32
	maxSymbol = 12
	maxQty    = 1e6
	maxPrice  = 1e9
	maxLimit  = 1e9
	maxLine   = 128 // bytes of a command
)

// command is an order or a control event: what a client sends, what the journal
// keeps, what the state applies. The byte slices are part of what was parsed.
type command struct {
	verb   string // order, halt, resume, limit
	id     []byte
	symbol []byte
	qty    int64 // order: bought, or sold when negative; limit: the new limit
	price  int64 // order: the worst price, in ticks
}

func (c *command) kind() uint8 {
	if c.verb == "order" {
		return kindOrder
	}
	return kindControl
}

// parseCommand reads a command without its line end.
func parseCommand(line []byte) (c command, err error) {
	if len(line) > maxLine {
		return c, fmt.Errorf("a command of %d bytes: at most %d", len(line), maxLine)
	}
	var words [6][]byte
	n, want := split(line, words[:]), 0
	switch string(words[0]) {
	case "order":
		c.verb, want = "order", 5
	case "limit":
		c.verb, want = "limit", 4
	case "halt":
		c.verb, want = "halt", 3
	case "resume":
		c.verb, want = "resume", 3
	default:
		return c, fmt.Errorf("command %.20q is unknown", words[0])
	}
	if n != want {
		return c, fmt.Errorf("%s takes %d words, not %d", c.verb, want-1, n-1)
	}
	c.id, c.symbol = words[1], words[2]
	if !isName(c.id, maxID) || !isName(c.symbol, maxSymbol) {
		return c, fmt.Errorf("id %q or symbol %q: must be 1 to %d and 1 to %d of A-Z a-z 0-9 _ . -", c.id, c.symbol, maxID, maxSymbol)
	}
	switch c.verb {
	case "order":
		if c.qty, err = number(words[3], -maxQty, maxQty); err == nil && c.qty == 0 {
			err = errors.New("an order for nothing")
		}
		if err == nil {
			c.price, err = number(words[4], 1, maxPrice)
		}
	case "limit":
		c.qty, err = number(words[3], 0, maxLimit)
	}
	return c, err
}

// quote is a market data event.
type quote struct {
	symbol   []byte
	bid, ask int64
}

func parseQuote(payload []byte) (q quote, err error) {
	var words [4][]byte
	if n := split(payload, words[:]); n != 3 || !isName(words[0], maxSymbol) {
		return q, fmt.Errorf("quote %.40q: must be SYMBOL BID ASK", payload)
	}
	q.symbol = words[0]
	if q.bid, err = number(words[1], 1, maxPrice); err == nil {
		q.ask, err = number(words[2], q.bid, maxPrice)
	}
	return q, err
}

// split puts the words of a line, which single spaces separate, into words and
// returns how many there are, at most len(words).
func split(line []byte, words [][]byte) (n int) {
	for ; n < len(words)-1; n++ {
		i := bytes.IndexByte(line, ' ')
		if i < 0 {
			break
		}
		words[n], line = line[:i], line[i+1:]
	}
	words[n] = line
	return n + 1
}

// isName reports whether b is 1 to n letters, digits, underscores, dots or
// dashes.
func isName(b []byte, n int) bool {
	for _, c := range b {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= n
}

func number(b []byte, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("number %.24q: must be %d to %d", b, least, most)
	}
	return n, nil
}

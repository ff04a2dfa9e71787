package main

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
)

// model is what the service must be, worked out from a plain sequential read of
// the journal. It shares no code with the service, and writes the rules down
// once more.
type model struct {
	next         uint64
	books        map[string]*modelBook
	results      map[string]string
	times        map[string]int // an id is in the journal
	quotes, lost uint64
}

type modelBook struct {
	pos, cash, limit, bid, ask int
	halted, stale              bool
	filled, rejected           int
}

func newModel() *model {
	return &model{books: map[string]*modelBook{}, results: map[string]string{}, times: map[string]int{}}
}

// read goes on to the end of the journal.
func (m *model) read(t *testing.T, dir string) {
	t.Helper()
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{FromSeq: m.next, Control: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		rec, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind >= 0x40 {
			m.control(t, rec, r.StreamName(rec.Stream))
			continue
		}
		if rec.Seq != m.next {
			t.Fatalf("record %d follows %d", rec.Seq, m.next)
		}
		m.next++
		m.event(rec.Kind, strings.Fields(string(rec.Payload)))
	}
}

func (m *model) control(t *testing.T, rec journal.Record, stream string) {
	t.Helper()
	if rec.Kind != journal.KindLoss {
		return
	}
	l, err := journal.ParseLoss(rec.Payload)
	if err != nil || stream != "quotes" {
		t.Fatalf("loss in stream %q: %+v, %v", stream, l, err)
	}
	if l.First+l.Records == m.quotes {
		return // read before
	}
	if l.First != m.quotes {
		t.Fatalf("quotes are lost from %d on, there were %d", l.First, m.quotes)
	}
	m.quotes += l.Records
	m.lost += l.Records
	for _, b := range m.books {
		if b.bid != 0 {
			b.stale = true
		}
	}
}

func (m *model) book(symbol string) *modelBook {
	if m.books[symbol] == nil {
		m.books[symbol] = &modelBook{limit: 10000}
	}
	return m.books[symbol]
}

func (m *model) event(kind uint8, w []string) {
	num := func(i int) int {
		n, err := strconv.Atoi(w[i])
		if err != nil {
			panic(err)
		}
		return n
	}
	if kind == 0x2A {
		b := m.book(w[0])
		b.bid, b.ask, b.stale = num(1), num(2), false
		m.quotes++
		return
	}
	id := w[1]
	if m.times[id]++; m.times[id] > 1 {
		return
	}
	b := m.book(w[2])
	m.results[id] = "done"
	switch w[0] {
	case "halt":
		b.halted = true
	case "resume":
		b.halted = false
	case "limit":
		b.limit = num(3)
	case "order":
		m.results[id] = b.order(num(3), num(4))
	}
}

func (b *modelBook) order(qty, price int) string {
	why := ""
	paid := price
	if b.bid != 0 && qty > 0 {
		if paid = b.ask; price < b.ask {
			why = "price"
		}
	} else if b.bid != 0 {
		if paid = b.bid; price > b.bid {
			why = "price"
		}
	}
	if why == "" && b.halted {
		why = "halted"
	}
	if why == "" && b.stale {
		why = "stale"
	}
	if p := b.pos + qty; why == "" && (p > b.limit || p < -b.limit) {
		why = "limit"
	}
	if why != "" {
		b.rejected++
		return "rejected " + why
	}
	b.filled++
	b.pos += qty
	b.cash -= qty * paid
	return "filled"
}

// compare compares what a service dumps with the model.
func (m *model) compare(t *testing.T, dump string) {
	t.Helper()
	dump, ok := strings.CutPrefix(dump, "state ")
	var s State
	if err := json.Unmarshal([]byte(dump), &s); err != nil || !ok {
		t.Fatalf("%v: %s", err, dump)
	}
	if s.Seq != m.next || s.Quotes != m.quotes || s.LostQuotes != m.lost || s.Commands != uint64(len(m.results)) || len(s.Books) != len(m.books) {
		t.Errorf("state %+v, want sequence %d, %d quotes, %d lost, %d commands, %d books", s, m.next, m.quotes, m.lost, len(m.results), len(m.books))
	}
	twice := 0
	for _, n := range m.times {
		twice += n - 1
	}
	if s.Duplicates != uint64(twice) {
		t.Errorf("%d duplicates, want %d", s.Duplicates, twice)
	}
	for symbol, w := range m.books {
		want := Book{
			Position: int64(w.pos), Cash: int64(w.cash), Limit: int64(w.limit), Halted: w.halted, Bid: int64(w.bid), Ask: int64(w.ask),
			Stale: w.stale, Filled: uint64(w.filled), Rejected: uint64(w.rejected),
		}
		if b := s.Books[symbol]; b == nil || *b != want {
			t.Errorf("%s: %+v, want %+v", symbol, b, want)
		}
	}
}

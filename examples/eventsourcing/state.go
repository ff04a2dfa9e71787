package main

import (
	"encoding/json"
	"fmt"

	"github.com/nexus-logbuf/logbuf/journal"
)

const (
	// idWindow is how many of the latest commands the state knows the ids of: a
	// command that is sent again within that many others is not applied twice.
	idWindow = 100_000
	// maxBooks is how many symbols there can be; commands for others are
	// rejected, quotes ignored.
	maxBooks     = 1000
	defaultLimit = 10_000
	maxCash      = 1e18
)

// Book is what the service knows of a symbol.
type Book struct {
	Position int64 // bought less sold
	Cash     int64 // received less paid, in ticks
	Limit    int64 // largest position, either way
	Halted   bool  // by a control event
	Bid, Ask int64 // of the last quote; 0: none yet
	Stale    bool  // quotes were lost since the last one
	Filled   uint64
	Rejected uint64
}

// State is what the journal makes of the service: a function of the records
// before Seq, in their order, and of nothing else. It reads no clock, no random
// number and no map in the map's order. Nothing but Apply changes it.
type State struct {
	Seq        uint64 // everything before this sequence is applied
	Commands   uint64 // applied
	Duplicates uint64 // commands whose id was there already: not applied
	Quotes     uint64 // ordinal of the next quote: those applied, and those lost
	LostQuotes uint64
	Ignored    uint64 // quotes beyond maxBooks
	Books      map[string]*Book

	ids     []string          // the latest commands, a ring of idWindow at most
	oldest  int               // in ids
	results map[string]string // of each of ids
}

func newState() *State {
	return &State{Books: make(map[string]*Book), results: make(map[string]string)}
}

// Applied is what Apply made of a command.
type Applied struct {
	ID     string // empty: the record is no command
	Result string // what is acknowledged: filled, done, or "rejected" and why
}

// Apply applies the next record of the journal, a control record of the stream
// of that name included. An error says that the record is none of this
// service's, and changes nothing.
func (s *State) Apply(rec journal.Record, stream string) (a Applied, err error) {
	switch rec.Kind {
	case kindQuote:
		err = s.applyQuote(rec.Payload)
	case kindOrder, kindControl:
		a, err = s.applyCommand(rec.Payload)
	case journal.KindLoss:
		err = s.applyLoss(rec.Payload, stream)
	default:
		if rec.Kind < journal.KindStream {
			err = fmt.Errorf("kind %#x is unknown", rec.Kind)
		}
	}
	if err != nil {
		return a, fmt.Errorf("record %d of stream %q: %w", rec.Seq, stream, err)
	}
	if rec.Kind < journal.KindStream {
		s.Seq = rec.Seq + 1
	}
	return a, nil
}

// Skip goes over records that a power cut took. Nobody was promised them, so
// nobody has applied or acknowledged them, and every rebuild meets the same gap.
func (s *State) Skip(g journal.Gap) { s.Seq = max(s.Seq, g.LastSeq+1) }

func (s *State) applyQuote(payload []byte) error {
	q, err := parseQuote(payload)
	if err != nil {
		return err
	}
	s.Quotes++
	b := s.book(q.symbol)
	if b == nil {
		s.Ignored++
		return nil
	}
	b.Bid, b.Ask, b.Stale = q.bid, q.ask, false
	return nil
}

// applyLoss marks every book that had quotes as stale when quotes were lost. A
// reader that begins behind a snapshot may meet the loss record in front of its
// first record a second time; the ordinal tells.
func (s *State) applyLoss(payload []byte, stream string) error {
	l, err := journal.ParseLoss(payload)
	if err != nil || stream != streamQuotes || l.First+l.Records <= s.Quotes {
		return err
	}
	s.Quotes = l.First + l.Records
	s.LostQuotes += l.Records
	for _, b := range s.Books {
		b.Stale = b.Bid > 0
	}
	return nil
}

func (s *State) applyCommand(payload []byte) (Applied, error) {
	c, err := parseCommand(payload)
	if err != nil {
		return Applied{}, err
	}
	if result, ok := s.results[string(c.id)]; ok {
		s.Duplicates++
		return Applied{string(c.id), result}, nil
	}
	a := Applied{string(c.id), s.execute(&c)}
	s.Commands++
	s.remember(a)
	return a, nil
}

// execute does what a command says and returns its result.
func (s *State) execute(c *command) string {
	b := s.book(c.symbol)
	if b == nil {
		return "rejected symbols"
	}
	switch c.verb {
	case "halt":
		b.Halted = true
	case "resume":
		b.Halted = false
	case "limit":
		b.Limit = c.qty
	case "order":
		result := b.trade(c.qty, c.price)
		if result == "filled" {
			b.Filled++
		} else {
			b.Rejected++
		}
		return result
	}
	return "done"
}

// trade fills an order at once, at the quoted price, or at its own where there
// are no quotes.
func (b *Book) trade(qty, price int64) string {
	if b.Bid > 0 {
		if qty > 0 && price < b.Ask || qty < 0 && price > b.Bid {
			return "rejected price"
		}
		price = b.Bid
		if qty > 0 {
			price = b.Ask
		}
	}
	position, cash := b.Position+qty, b.Cash-qty*price
	switch {
	case b.Halted:
		return "rejected halted"
	case b.Stale:
		return "rejected stale"
	case max(position, -position) > b.Limit:
		return "rejected limit"
	case max(cash, -cash) > maxCash:
		return "rejected cash"
	}
	b.Position, b.Cash = position, cash
	return "filled"
}

// book returns the book of a symbol, a new one if there is room for it.
func (s *State) book(symbol []byte) *Book {
	b := s.Books[string(symbol)]
	if b == nil && len(s.Books) < maxBooks {
		b = &Book{Limit: defaultLimit}
		s.Books[string(symbol)] = b
	}
	return b
}

func (s *State) remember(a Applied) {
	if len(s.ids) < idWindow {
		s.ids = append(s.ids, a.ID)
	} else {
		delete(s.results, s.ids[s.oldest])
		s.ids[s.oldest] = a.ID
		s.oldest = (s.oldest + 1) % idWindow
	}
	s.results[a.ID] = a.Result
}

// stored is the form of a State in a snapshot.
type stored struct {
	State
	IDs [][2]string // ids and results, oldest first
}

// encode returns the state as JSON.
func (s *State) encode() ([]byte, error) {
	out := stored{State: *s, IDs: make([][2]string, 0, len(s.ids))}
	for i := range s.ids {
		id := s.ids[(s.oldest+i)%len(s.ids)]
		out.IDs = append(out.IDs, [2]string{id, s.results[id]})
	}
	return json.Marshal(out)
}

// decodeState is the inverse of encode.
func decodeState(b []byte) (*State, error) {
	in := stored{State: *newState()}
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, err
	}
	if len(in.IDs) > idWindow || len(in.Books) > maxBooks {
		return nil, fmt.Errorf("%d ids and %d books: at most %d and %d", len(in.IDs), len(in.Books), idWindow, maxBooks)
	}
	s := in.State
	for symbol, b := range s.Books {
		if b == nil {
			return nil, fmt.Errorf("book %q is empty", symbol)
		}
	}
	if s.Books == nil {
		s.Books = make(map[string]*Book)
	}
	for _, p := range in.IDs {
		s.remember(Applied{p[0], p[1]})
	}
	return &s, nil
}

package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/nexus-logbuf/logbuf/journal"
)

func TestParseCommand(t *testing.T) {
	tests := []struct{ line, err string }{
		{"order 1 ABC 10 100", ""},
		{"order a-B_9. A.B -1000000 1000000000", ""},
		{"halt 1 ABC", ""},
		{"resume 1 ABC", ""},
		{"limit 1 ABC 0", ""},
		{"", "unknown"},
		{"buy 1 ABC 1 1", "unknown"},
		{"order 1 ABC 10", "takes 4 words, not 3"},
		{"order 1 ABC 10 100 7", "takes 4 words, not 5"},
		{"order  1 ABC 10 100", "takes 4 words, not 5"},
		{"halt 1", "takes 2 words, not 1"},
		{"order 1 ABC 0 100", "for nothing"},
		{"order 1 ABC x 100", "number"},
		{"order 1 ABC 1 0", "must be 1 to"},
		{"order 1 ABC 1000001 1", "must be -1000000 to"},
		{"order 1 ABC 9223372036854775808 1", "number"},
		{"limit 1 ABC -1", "must be 0 to"},
		{"order \x00 ABC 1 1", "id"},
		{"order 1 A/C 1 1", "symbol"},
		{"order 1 ABCDEFGHIJKLM 1 1", "symbol"},
		{"order " + strings.Repeat("x", 33) + " ABC 1 1", "id"},
		{"order 1 ABC 1 " + strings.Repeat("0", 200), "a command of"},
	}
	for _, test := range tests {
		_, err := parseCommand([]byte(test.line))
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: %v, want %q", test.line, err, test.err)
		}
	}
}

// applyAll applies events: "lost N" quotes, quotes in lower case, commands.
func applyAll(t *testing.T, s *State, events ...string) (results []string) {
	t.Helper()
	for _, e := range events {
		rec := journal.Record{Seq: s.Seq, Kind: kindOrder, Payload: []byte(e)}
		stream := streamOrders
		var lost uint64
		if n, _ := fmt.Sscanf(e, "lost %d", &lost); n == 1 {
			rec.Kind, stream = journal.KindLoss, streamQuotes
			rec.Payload = journal.Loss{Stream: 1, First: s.Quotes, Records: lost}.Append(nil)
		} else if q, ok := strings.CutPrefix(e, "quote "); ok {
			rec.Kind, rec.Payload = kindQuote, []byte(q)
		}
		a, err := s.Apply(rec, stream)
		if err != nil {
			t.Fatal(err)
		}
		if a.ID != "" {
			results = append(results, a.Result)
		}
	}
	return results
}

func TestRules(t *testing.T) {
	tests := []struct {
		name   string
		events []string
		want   []string
		book   Book
	}{
		{"no quotes", []string{"order 1 A 10 100", "order 2 A -4 120"}, []string{"filled", "filled"}, Book{Position: 6, Cash: -520, Limit: 10000, Filled: 2}},
		{"quoted", []string{"quote A 99 101", "order 1 A 1 105", "order 2 A 1 100", "order 3 A -1 90", "order 4 A -1 100"},
			[]string{"filled", "rejected price", "filled", "rejected price"}, Book{Cash: -2, Limit: 10000, Bid: 99, Ask: 101, Filled: 2, Rejected: 2}},
		{"halted", []string{"halt 1 A", "order 2 A 1 1", "resume 3 A", "order 4 A 1 1"}, []string{"done", "rejected halted", "done", "filled"},
			Book{Position: 1, Cash: -1, Limit: 10000, Filled: 1, Rejected: 1}},
		{"limit", []string{"limit 1 A 5", "order 2 A 6 1", "order 3 A -5 1", "order 4 A -1 1"}, []string{"done", "rejected limit", "filled", "rejected limit"},
			Book{Position: -5, Cash: 5, Limit: 5, Filled: 1, Rejected: 2}},
		{"stale", []string{"quote A 1 1", "lost 3", "order 1 A 1 1", "quote A 2 2", "order 2 A 1 2"}, []string{"rejected stale", "filled"},
			Book{Position: 1, Cash: -2, Limit: 10000, Bid: 2, Ask: 2, Filled: 1, Rejected: 1}},
		{"stale without quotes", []string{"order 1 A 1 1", "lost 3", "order 2 A 1 1"}, []string{"filled", "filled"},
			Book{Position: 2, Cash: -2, Limit: 10000, Filled: 2}},
		{"twice", []string{"order 1 A 1 1", "order 1 A 1 1", "order 1 A 500 7"}, []string{"filled", "filled", "filled"},
			Book{Position: 1, Cash: -1, Limit: 10000, Filled: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newState()
			if got := applyAll(t, s, test.events...); !reflect.DeepEqual(got, test.want) {
				t.Errorf("results %q, want %q", got, test.want)
			}
			if *s.Books["A"] != test.book {
				t.Errorf("%+v, want %+v", *s.Books["A"], test.book)
			}
		})
	}
}

// A loss record that stands in front of a snapshot's next record is read again
// by who begins there; records that are none of the service's are refused.
func TestApply(t *testing.T) {
	s := newState()
	applyAll(t, s, "quote A 1 2", "lost 5", "quote A 3 4")
	loss := journal.Record{Seq: s.Seq, Kind: journal.KindLoss, Payload: journal.Loss{Stream: 1, First: 1, Records: 5}.Append(nil)}
	if _, err := s.Apply(loss, streamQuotes); err != nil || s.Books["A"].Stale || s.LostQuotes != 5 || s.Quotes != 7 {
		t.Errorf("a loss read again: %v, %+v", err, s)
	}
	for _, rec := range []journal.Record{
		{Kind: journal.KindData, Payload: []byte("order 1 A 1 1")}, {Kind: 0x2B}, {Kind: kindOrder, Payload: []byte("order 1 A 1")},
		{Kind: kindQuote, Payload: []byte("A 2 1")}, {Kind: kindQuote, Payload: nil}, {Kind: journal.KindLoss, Payload: []byte{1}},
	} {
		before, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		rec.Seq = s.Seq
		if _, err := s.Apply(rec, streamQuotes); err == nil {
			t.Errorf("%+v was applied", rec)
		}
		if after, err := s.encode(); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%+v has changed the state: %v", rec, err)
		}
	}
}

// Beyond maxBooks, commands are rejected and quotes ignored. Beyond idWindow,
// the oldest ids are forgotten. A state that was stored goes on in the same way.
func TestStateIsBounded(t *testing.T) {
	s := newState()
	for i := range maxBooks + 5 {
		applyAll(t, s, fmt.Sprintf("quote S%d 1 1", i))
	}
	if got := applyAll(t, s, "order 1 T 1 1", "order 2 S0 1 1"); got[0] != "rejected symbols" || got[1] != "filled" || s.Ignored != 5 {
		t.Errorf("%q, %d quotes ignored", got, s.Ignored)
	}
	for i := range idWindow + 100 {
		applyAll(t, s, fmt.Sprintf("halt h%d S1", i))
		if i == idWindow/2 || i == idWindow+50 {
			b, err := s.encode()
			if err != nil {
				t.Fatal(err)
			}
			if s, err = decodeState(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, known := s.results["h99"]; known || len(s.results) != idWindow || s.results["h100"] != "done" {
		t.Errorf("%d ids; h99 %v", len(s.results), known)
	}
}

func FuzzState(f *testing.F) {
	for _, s := range []string{`{"Books":{"A":null}}`, `{"Seq":1,"Books":null,"IDs":[["a","b"]]}`, `{`} {
		f.Add([]byte(s), []byte("order 1 A 1 1"))
	}
	f.Fuzz(func(t *testing.T, snapshot, payload []byte) {
		s, err := decodeState(snapshot)
		if err != nil {
			return
		}
		for _, kind := range []uint8{kindOrder, kindQuote, kindControl, journal.KindLoss} {
			_, _ = s.Apply(journal.Record{Seq: s.Seq, Kind: kind, Payload: payload}, streamQuotes)
		}
		b, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeState(b)
		if err != nil || !reflect.DeepEqual(again.Books, s.Books) || !reflect.DeepEqual(again.results, s.results) {
			t.Errorf("%v: %+v, %+v", err, again, s)
		}
	})
}

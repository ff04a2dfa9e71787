package serve

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
)

// Whatever the records are, what is sent is a sequence of frames that a client accepts.
func TestFrames(t *testing.T) {
	const fin = journal.FlagFinal
	type rec struct {
		flags   uint8
		payload string
	}
	tests := []struct {
		name      string
		byteInput bool // not a WebSocket's records
		recs      []rec
		want      string // opcode, '.' when final, payload; then the close frame
		counts    Counts
	}{
		{name: "messages", recs: []rec{{1 | fin, "a"}, {2 | fin, "\xff"}, {1 | fin, ""}}, want: "1.a 2.\xff 1. end", counts: Counts{Frames: 3}},
		{
			name: "fragments with a ping between", recs: []rec{{1, "a"}, {9 | fin, "p"}, {0, "b"}, {fin, "c"}, {10 | fin, ""}},
			want: "1a 9.p 0b 0.c 10. end", counts: Counts{Frames: 5},
		},
		{name: "the recorded close ends it", recs: []rec{{1 | fin, "a"}, {8 | fin, "\x03\xe9bye"}}, want: "1.a \x03\xe9bye", counts: Counts{Frames: 2}},
		{name: "a close without a code", recs: []rec{{8 | fin, ""}}, want: "", counts: Counts{Frames: 1}},
		{name: "a close that may not be sent", recs: []rec{{8 | fin, "\x03\xed"}}, want: "end", counts: Counts{Frames: 1}},
		{name: "a close before a reconnection", recs: []rec{{8 | fin, "\x03\xe9"}, {1 | fin, "a"}}, want: "1.a end", counts: Counts{Frames: 1, Skipped: 1}},
		{name: "begun in the middle of a message", recs: []rec{{0, "b"}, {fin, "c"}, {1 | fin, "d"}}, want: "1.d end", counts: Counts{Frames: 1, Skipped: 2}},
		{name: "the last fragment is lost", recs: []rec{{1, "a"}, {2 | fin, "b"}}, want: "1a 0. 2.b end", counts: Counts{Frames: 2, Cut: 1}},
		{name: "ended in the middle of a message", recs: []rec{{2, "a"}, {0, "b"}}, want: "2a 0b 0. end", counts: Counts{Frames: 2, Cut: 1}},
		{name: "no frames", recs: []rec{{3 | fin, "a"}, {11 | fin, "b"}, {9, "c"}, {9 | fin, strings.Repeat("x", 126)}}, want: "end", counts: Counts{Skipped: 4}},
		{name: "lines", byteInput: true, recs: []rec{{fin, "a\n"}, {fin, "\xff\n"}, {fin, ""}}, want: "1.a\n 2.\xff\n 1. end", counts: Counts{Frames: 3}},
		{name: "a long line in pieces", byteInput: true, recs: []rec{{0, "a"}, {0, "b"}, {fin, "c\n"}, {fin, "d\n"}}, want: "2a 0b 0.c\n 1.d\n end", counts: Counts{Frames: 4}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			f := frames{webSocket: !test.byteInput, emit: func(op ws.OpCode, final bool, payload []byte) error {
				dot := map[bool]string{true: "."}[final]
				got = append(got, fmt.Sprintf("%d%s%s", op, dot, payload))
				return nil
			}}
			for i, r := range test.recs {
				if err := f.take(journal.Record{Seq: uint64(i), Kind: journal.KindData, Flags: r.flags, Payload: []byte(r.payload)}); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.cut(); err != nil {
				t.Fatal(err)
			}
			end := f.end()
			if code, _ := ws.ParseCloseFrameData(end); code == ws.StatusNormalClosure {
				end = []byte("end")
			}
			got = append(got, string(end))
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("sent %q, want %q", s, test.want)
			}
			if f.counts != test.counts {
				t.Errorf("counts %+v, want %+v", f.counts, test.counts)
			}
		})
	}
}

func TestFramesRefuseWhatTheyCannotSend(t *testing.T) {
	f := frames{emit: func(ws.OpCode, bool, []byte) error { t.Error("sent"); return nil }}
	err := f.take(journal.Record{Seq: 7, Kind: journal.KindData, Flags: 1 | journal.FlagFinal | journal.FlagCompressed})
	if err == nil || !strings.Contains(err.Error(), "record 7 is compressed") {
		t.Errorf("error %v", err)
	}
	if err := f.take(journal.Record{Kind: 9, Flags: 1 | journal.FlagFinal}); err != nil || f.counts.Skipped != 1 {
		t.Errorf("a record of a user's kind: error %v, counts %+v", err, f.counts)
	}
	if !slices.Equal([]bool{validClose([]byte{3}), validClose(nil), validClose([]byte("\x03\xe8\xff"))}, []bool{false, true, false}) {
		t.Error("close payloads are not told apart")
	}
}

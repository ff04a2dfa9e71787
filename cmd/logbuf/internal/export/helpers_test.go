package export

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sampleTime = int64(1_795_253_400_123_456_789)

// sample is what exports are tested with: every kind of row, and payloads that formats stumble over.
func sample() []Row {
	rows := []Row{
		{Seq: 0, Time: sampleTime, Stream: "trades", StreamID: 1, Kind: "data", Code: 1, Opcode: "text", Final: true, Payload: []byte(`{"px":101.5,"note":"a \"b\", c"}`)},
		{Seq: 1, Time: sampleTime + 1, Stream: "book", StreamID: 2, Kind: "data", Code: 2, Opcode: "binary", Payload: []byte{0, 0xff, 0x80, '\n'}},
		{Seq: 2, Time: sampleTime + 2, Stream: "book", StreamID: 2, Kind: "data", Final: true, Payload: nil},
		{Seq: 3, Time: sampleTime + 1, Stream: "trades", StreamID: 1, Kind: "data", Code: 1, Opcode: "text", Final: true, Outbound: true, Payload: []byte("line\r\nand\nline\rand é, \"quoted\"")},
		{Seq: 4, Time: sampleTime + 3, Stream: "trades", StreamID: 1, Kind: "loss", Loss: &Loss{First: 3, Records: 7, Bytes: 700, From: sampleTime + 2, To: sampleTime + 3, Reason: "overload"}},
		{Seq: 4, Time: sampleTime + 4, Stream: "trades", StreamID: 1, Kind: "user-7", Compressed: true, Truncated: true, Payload: []byte("after a loss")},
		{Seq: 5, NoTime: true, Kind: "gap", Loss: &Loss{First: 5, Records: 10, Reason: "block 3: checksum, or so"}},
		{Seq: 15, Time: -5, Kind: "data", Payload: []byte("no stream, 1969")},
		{Seq: 16, Time: sampleTime + 5, Stream: "a, \"b\"\r\nc", StreamID: 3, Kind: "mark", Payload: []byte("a mark")},
		{Seq: 16, Time: sampleTime + 5, Stream: "trades", StreamID: 1, Kind: "data", Final: true, Payload: []byte("bare\rreturn")},
		{Seq: 16, Time: sampleTime + 6, Stream: "a, \"b\"\r\nc", StreamID: 3, Kind: "data", Code: 9, Opcode: "ping", Final: true, Payload: []byte("p")},
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		payload := make([]byte, rng.IntN(200))
		for j := range payload {
			payload[j] = byte(rng.Uint32())
		}
		rows = append(rows, Row{Seq: 17 + uint64(i), Time: sampleTime + 10 + int64(i)*1001, Stream: fmt.Sprintf("s%d", i%5), StreamID: uint16(10 + i%5), Kind: "data", Payload: payload})
	}
	return append(rows,
		Row{Seq: 317, Time: sampleTime + 1e9, Stream: "big", StreamID: 20, Kind: "data", Payload: bytes.Repeat([]byte("0123456789abcdef"), 40_000)},
		Row{Seq: 318, Time: sampleTime + 2e9, Stream: "silent", StreamID: 21, Kind: "loss", Loss: &Loss{First: 0, Reason: "source gap"}},
		Row{Seq: 318, Time: sampleTime + 2e9, Stream: "big", StreamID: 20, Kind: "loss", Loss: &Loss{First: 1, Records: 3, Reason: "overload"}},
	)
}

// data are the rows with a payload that counts.
func data(rows []Row) []Row {
	var out []Row
	for _, r := range rows {
		if !r.missing() && r.Kind != "mark" {
			out = append(out, r)
		}
	}
	return out
}

func write(t *testing.T, w Writer, rows []Row) {
	t.Helper()
	for i := range rows {
		// The payload is the writer's for the call only.
		r := rows[i]
		r.Payload = bytes.Clone(r.Payload)
		if err := w.Write(&r); err != nil {
			t.Fatal(err)
		}
		for j := range r.Payload {
			r.Payload[j] = 'X'
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, name string, make func(f *os.File) Writer, rows []Row) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, make(f), rows)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// failing fails after n bytes.
type failing struct{ left int }

func (f *failing) Write(b []byte) (int, error) {
	if len(b) > f.left {
		return 0, os.ErrClosed
	}
	f.left -= len(b)
	return len(b), nil
}

// An output that fails is an error from Write or Close, and stays one.
func TestErrorsStay(t *testing.T) {
	for name, open := range map[string]func(f *failing) Writer{
		"csv":     func(f *failing) Writer { return NewCSV(f, Hex) },
		"pcapng":  func(f *failing) Writer { return NewPcapng(f) },
		"parquet": func(f *failing) Writer { return NewParquet(f) },
	} {
		for _, room := range []int{0, 3, 300, 5000} {
			w := open(&failing{room})
			rows := sample()
			for i := range rows {
				if err := w.Write(&rows[i]); err != nil {
					if again := w.Write(&rows[i]); again == nil {
						t.Errorf("%s, room for %d bytes: a second write after %v succeeds", name, room, err)
					}
					break
				}
			}
			if err := w.Close(); err == nil || !strings.Contains(err.Error(), os.ErrClosed.Error()) {
				t.Errorf("%s, room for %d bytes: close says %v", name, room, err)
			}
		}
	}
}

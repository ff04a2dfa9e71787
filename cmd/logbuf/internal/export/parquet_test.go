package export

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// hyparquetRow is a row as testdata/parquet/read.mjs prints it.
type hyparquetRow struct {
	Seq                                    string  `json:"seq"`
	Time                                   *string `json:"time"`
	Stream                                 *string `json:"stream"`
	StreamID                               *int    `json:"stream_id"`
	Kind                                   string  `json:"kind"`
	Code                                   *int    `json:"code"`
	Opcode                                 *string `json:"opcode"`
	Final, Outbound, Compressed, Truncated *bool
	Payload                                *struct{ Base64 string } `json:"payload"`

	LossFirst   *string `json:"loss_first"`
	LossRecords *string `json:"loss_records"`
	LossBytes   *string `json:"loss_bytes"`
	LossFrom    *string `json:"loss_from"`
	LossTo      *string `json:"loss_to"`
	LossReason  *string `json:"loss_reason"`
}

// hyparquet reads a file with another Parquet reader, in another language: `npm ci` in testdata/parquet installs it.
func hyparquet(t *testing.T, file string) (groups int, rows []hyparquetRow) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join("testdata", "parquet", "node_modules", "hyparquet"))
	}
	if err != nil {
		if os.Getenv("LOGBUF_REQUIRE_HYPARQUET") != "" {
			t.Fatalf("LOGBUF_REQUIRE_HYPARQUET is set: %v", err)
		}
		t.Skipf("the other Parquet reader is not installed: %v", err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(node, filepath.Join("testdata", "parquet", "read.mjs"), file)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("read.mjs: %v: %s", err, &stderr)
	}
	lines := bytes.SplitAfter(bytes.TrimSpace(out), []byte("\n"))
	var head struct{ Groups, Rows int }
	if err := json.Unmarshal(lines[0], &head); err != nil || head.Rows != len(lines)-1 {
		t.Fatalf("read.mjs: %q, error %v, and %d rows", lines[0], err, len(lines)-1)
	}
	for _, line := range lines[1:] {
		var row hyparquetRow
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return head.Groups, rows
}

// deref prints what a pointer points to, "null" for nil.
func deref[T any](p *T) string {
	if p == nil {
		return "null"
	}
	return fmt.Sprint(*p)
}

func deepRow(r *hyparquetRow) string {
	payload := "null"
	if r.Payload != nil {
		b, err := base64.StdEncoding.DecodeString(r.Payload.Base64)
		payload = fmt.Sprintf("%x %v", b, err)
	}
	return strings.Join([]string{
		r.Seq, deref(r.Time), deref(r.Stream), deref(r.StreamID), r.Kind, deref(r.Code), deref(r.Opcode), deref(r.Final), deref(r.Outbound), deref(r.Compressed),
		deref(r.Truncated), payload, deref(r.LossFirst), deref(r.LossRecords), deref(r.LossBytes), deref(r.LossFrom), deref(r.LossTo), deref(r.LossReason),
	}, "|")
}

func wantRow(r *Row) string {
	orNull := func(v any, null bool) string {
		if null {
			return "null"
		}
		return fmt.Sprint(v)
	}
	missing := r.Loss != nil
	l := r.Loss
	if l == nil {
		l = &Loss{}
	}
	return strings.Join([]string{
		fmt.Sprint(r.Seq), orNull(r.Time, r.NoTime), orNull(r.Stream, r.Stream == ""), orNull(r.StreamID, r.StreamID == 0), r.Kind, orNull(r.Code, missing),
		orNull(r.Opcode, r.Opcode == ""), orNull(r.Final, missing), orNull(r.Outbound, missing), orNull(r.Compressed, missing), orNull(r.Truncated, missing),
		orNull(fmt.Sprintf("%x <nil>", r.Payload), missing), orNull(l.First, !missing), orNull(l.Records, l.Records == 0), orNull(l.Bytes, l.Bytes == 0),
		orNull(l.From, l.From == 0), orNull(l.To, l.To == 0), orNull(l.Reason, !missing),
	}, "|")
}

// smallGroups is NewParquet with row groups of that many bytes.
func smallGroups(w io.Writer, bytes int) Writer {
	p := NewParquet(w).(*parquetWriter)
	p.group = bytes
	return p
}

// A reader that shares nothing with the writer finds every value, over several row groups.
func TestParquetInAnotherReader(t *testing.T) {
	rows := sample()
	for i := range 5 { // more than a row group
		rows = append(rows, Row{Seq: 400 + uint64(i), Time: sampleTime, Kind: "data", Payload: bytes.Repeat([]byte{byte(i), 1, 2, 3}, 32<<10)})
	}
	file := writeFile(t, "out.parquet", func(f *os.File) Writer { return smallGroups(f, 1<<20) }, rows)
	groups, got := hyparquet(t, file)
	if len(got) != len(rows) || groups != 2 {
		t.Fatalf("%d rows in %d groups, want %d in 2", len(got), groups, len(rows))
	}
	for i := range rows {
		if g, w := deepRow(&got[i]), wantRow(&rows[i]); g != w {
			t.Errorf("row %d is %.300s\nwant %.300s", i, g, w)
		}
	}
}

// The same with the library's own reader, where there is no other.
func TestParquet(t *testing.T) {
	rows := sample()
	var b bytes.Buffer
	write(t, NewParquet(&b), rows)
	got, err := parquet.Read[parquetRow](bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil || len(got) != len(rows) {
		t.Fatalf("%d rows, error %v; want %d", len(got), err, len(rows))
	}
	for i, g := range got {
		if g.Seq != rows[i].Seq || !bytes.Equal(g.Payload, rows[i].Payload) || g.Kind != rows[i].Kind || deref(g.LossReason) != "null" && *g.LossReason != rows[i].Loss.Reason {
			t.Errorf("row %d is %+v, want %+v", i, g, rows[i])
		}
	}
	var empty bytes.Buffer
	write(t, NewParquet(&empty), nil)
	if got, err := parquet.Read[parquetRow](bytes.NewReader(empty.Bytes()), int64(empty.Len())); len(got) != 0 || err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("an empty export has %d rows, error %v", len(got), err)
	}
}

// What is kept in memory does not grow with what was written: 64 MiB here.
func TestMemoryIsBounded(t *testing.T) {
	for _, test := range []struct {
		name  string
		w     Writer
		limit uint64 // MiB in use
	}{{"csv", NewCSV(io.Discard, Base64), 4}, {"pcapng", NewPcapng(io.Discard), 4}, {"parquet", smallGroups(io.Discard, 4<<20), 24}} {
		t.Run(test.name, func(t *testing.T) {
			r := Row{Stream: "s", StreamID: 1, Kind: "data", Payload: make([]byte, 64<<10)}
			for i := range r.Payload {
				r.Payload[i] = byte(i * i >> 3)
			}
			before, peak := inUse(), uint64(0)
			for i := range 1024 {
				r.Seq, r.Payload[i] = uint64(i), byte(i)
				if err := test.w.Write(&r); err != nil {
					t.Fatal(err)
				}
				if i%60 == 59 {
					now := inUse()
					peak = max(peak, now-min(now, before))
				}
			}
			if err := test.w.Close(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d KiB in use", peak>>10)
			if peak > test.limit<<20 {
				t.Errorf("%d MiB in use while writing 64 MiB, want at most %d", peak>>20, test.limit)
			}
		})
	}
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

package export

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// parseCSV is RFC 4180 and no more: CRLF ends a record, "" in quotes is a quote, a bare CR, LF or quote is an error.
func parseCSV(b []byte) (records [][]string, err error) {
	var record []string
	for len(b) > 0 {
		var field []byte
		if b[0] == '"' {
			for b = b[1:]; ; {
				i := bytes.IndexByte(b, '"')
				if i < 0 {
					return nil, errors.New("quote without an end")
				}
				field, b = append(field, b[:i]...), b[i+1:]
				if len(b) == 0 || b[0] != '"' {
					break
				}
				field, b = append(field, '"'), b[1:]
			}
		} else {
			i := bytes.IndexAny(b, ",\r\n\"")
			if i < 0 || b[i] == '"' || b[i] == '\n' {
				return nil, fmt.Errorf("bare quote or line feed in %.40q", b)
			}
			field, b = b[:i], b[i:]
		}
		record = append(record, string(field))
		switch {
		case bytes.HasPrefix(b, []byte(",")):
			b = b[1:]
		case bytes.HasPrefix(b, []byte("\r\n")):
			b = b[2:]
			records, record = append(records, record), nil
		default:
			return nil, fmt.Errorf("a field is followed by %.10q", b)
		}
	}
	if record != nil {
		return nil, errors.New("the last line does not end")
	}
	return records, nil
}

func TestCSV(t *testing.T) {
	decode := map[string]func(string) ([]byte, error){
		"text":   func(s string) ([]byte, error) { return []byte(s), nil },
		"base64": base64.StdEncoding.DecodeString,
		"hex":    hex.DecodeString,
	}
	rows := sample()
	for encoding, word := range EncodingNames {
		t.Run(word, func(t *testing.T) {
			var b bytes.Buffer
			write(t, NewCSV(&b, Encoding(encoding)), rows)
			if !utf8.Valid(b.Bytes()) {
				t.Error("the file is not UTF-8")
			}
			records, err := parseCSV(b.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if len(records) != len(rows)+1 || strings.Join(records[0], ",") != csvColumns {
				t.Fatalf("%d lines, want %d; the first is %q", len(records), len(rows)+1, records[0])
			}
			for i, record := range records[1:] {
				got := make(map[string]string)
				for j, column := range records[0] {
					got[column] = record[j]
				}
				want := wantCSV(&rows[i])
				if rows[i].Loss == nil {
					payload, err := decode[got["encoding"]](got["payload"])
					if err != nil || !bytes.Equal(payload, rows[i].Payload) {
						t.Errorf("line %d: payload %q in %s, error %v; want %q", i, payload, got["encoding"], err, rows[i].Payload)
					}
					if word != "text" && got["encoding"] != word {
						t.Errorf("line %d: encoding %s, want %s", i, got["encoding"], word)
					}
				}
				for column, value := range want {
					if got[column] != value {
						t.Errorf("line %d: %s is %q, want %q", i, column, got[column], value)
					}
				}
			}
			again, err := csv.NewReader(&b).ReadAll() // changes line ends within fields, but sees the same fields
			if err != nil || len(again) != len(records) || len(again[0]) != len(records[0]) {
				t.Errorf("encoding/csv: %d lines, error %v", len(again), err)
			}
		})
	}
}

func wantCSV(r *Row) map[string]string {
	want := map[string]string{"seq": fmt.Sprint(r.Seq), "stream": r.Stream, "kind": r.Kind, "opcode": r.Opcode}
	if r.Loss == nil {
		want["size"], want["final"], want["outbound"] = fmt.Sprint(len(r.Payload)), fmt.Sprint(r.Final), fmt.Sprint(r.Outbound)
		want["compressed"], want["truncated"], want["code"] = fmt.Sprint(r.Compressed), fmt.Sprint(r.Truncated), fmt.Sprint(r.Code)
		want["loss_first"], want["loss_reason"] = "", ""
	} else {
		want["size"], want["payload"], want["encoding"], want["final"] = "", "", "", ""
		want["loss_first"], want["loss_reason"], want["loss_records"] = fmt.Sprint(r.Loss.First), r.Loss.Reason, fmt.Sprint(r.Loss.Records)
		if r.Loss.Records == 0 {
			want["loss_records"] = ""
		}
		if r.Loss.From == sampleTime+2 {
			want["loss_from"], want["loss_bytes"] = "2026-11-21T09:30:00.123456791Z", "700"
		}
	}
	want["unix_ns"], want["stream_id"] = fmt.Sprint(r.Time), fmt.Sprint(r.StreamID)
	if r.NoTime {
		want["unix_ns"], want["time"] = "", ""
	}
	if r.StreamID == 0 {
		want["stream_id"] = ""
	}
	if r.Time == sampleTime {
		want["time"] = "2026-11-21T09:30:00.123456789Z"
	}
	return want
}

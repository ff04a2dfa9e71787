package export

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// Encoding says how CSV holds payloads.
type Encoding uint8

// Encodings.
const (
	Text   Encoding = iota // as they are; those that are not UTF-8 in base64
	Base64                 // RFC 4648, with padding
	Hex                    // two digits a byte, lower case
)

// EncodingNames are the words for them.
var EncodingNames = []string{"text", "base64", "hex"}

// csvColumns is the first line.
const csvColumns = "seq,time,unix_ns,stream,stream_id,kind,code,opcode,final,outbound,compressed,truncated,size,encoding,payload," +
	"loss_first,loss_records,loss_bytes,loss_from,loss_to,loss_reason"

// csvWriter writes CSV as RFC 4180 has it: lines end with CRLF, and a field with a quote, a comma, a CR or an LF is quoted, its bytes
// unchanged. encoding/csv would change line ends within fields.
type csvWriter struct {
	w        io.Writer
	encoding Encoding
	buf      []byte
	err      error
}

// NewCSV writes CSV to w, one write for each line. Nothing but the longest line is kept in memory.
func NewCSV(w io.Writer, encoding Encoding) Writer {
	c := &csvWriter{w: w, encoding: encoding}
	_, c.err = io.WriteString(w, csvColumns+"\r\n")
	return c
}

func (c *csvWriter) Write(r *Row) error {
	if c.err != nil {
		return c.err
	}
	c.buf = strconv.AppendUint(c.buf[:0], r.Seq, 10)
	c.time(r.Time, !r.NoTime)
	c.integer(uint64(r.Time), !r.NoTime, true)
	c.text(r.Stream)
	c.integer(uint64(r.StreamID), r.StreamID != 0, false)
	c.text(r.Kind)
	data := !r.missing()
	c.integer(uint64(r.Code), data, false)
	c.text(r.Opcode)
	for _, flag := range []bool{r.Final, r.Outbound, r.Compressed, r.Truncated} {
		c.flag(flag, data)
	}
	c.integer(uint64(len(r.Payload)), data, false)
	if data {
		c.payload(r.Payload)
	} else {
		c.buf = append(c.buf, ",,"...)
	}
	c.loss(r.Loss)
	c.buf = append(c.buf, "\r\n"...)
	_, c.err = c.w.Write(c.buf)
	return c.err
}

func (c *csvWriter) Close() error { return c.err }

func (c *csvWriter) integer(v uint64, known, signed bool) {
	c.buf = append(c.buf, ',')
	switch {
	case !known:
	case signed:
		c.buf = strconv.AppendInt(c.buf, int64(v), 10)
	default:
		c.buf = strconv.AppendUint(c.buf, v, 10)
	}
}

func (c *csvWriter) time(ns int64, known bool) {
	c.buf = append(c.buf, ',')
	if known {
		c.buf = time.Unix(0, ns).UTC().AppendFormat(c.buf, timeLayout)
	}
}

func (c *csvWriter) flag(set, known bool) {
	c.buf = append(c.buf, ',')
	if known {
		c.buf = strconv.AppendBool(c.buf, set)
	}
}

func (c *csvWriter) text(s string) {
	c.buf = append(c.buf, ',')
	c.buf = appendField(c.buf, s)
}

// payload writes the columns encoding and payload.
func (c *csvWriter) payload(b []byte) {
	encoding := c.encoding
	if encoding == Text && !utf8.Valid(b) {
		encoding = Base64
	}
	c.text(EncodingNames[encoding])
	c.buf = append(c.buf, ',')
	switch encoding {
	case Text:
		c.buf = appendField(c.buf, b)
	case Base64:
		c.buf = base64.StdEncoding.AppendEncode(c.buf, b)
	case Hex:
		c.buf = hex.AppendEncode(c.buf, b)
	default:
		panic(fmt.Sprintf("export: encoding %d, the last is %d", encoding, Hex))
	}
}

func (c *csvWriter) loss(l *Loss) {
	if l == nil {
		c.buf = append(c.buf, ",,,,,,"...)
		return
	}
	c.integer(l.First, true, false)
	c.integer(l.Records, l.Records > 0, false)
	c.integer(l.Bytes, l.Bytes > 0, false)
	c.time(l.From, l.From != 0)
	c.time(l.To, l.To != 0)
	c.text(l.Reason)
}

// appendField appends a field, quoted if it has to be.
func appendField[T string | []byte](dst []byte, s T) []byte {
	plain := true
	for i := range len(s) {
		if b := s[i]; b == '"' || b == ',' || b == '\r' || b == '\n' {
			plain = false
			break
		}
	}
	if plain {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

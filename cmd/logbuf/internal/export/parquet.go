package export

import (
	"io"

	"github.com/parquet-go/parquet-go"
)

// What a row group holds at most before it is written: payload bytes, and rows.
const (
	groupBytes = 32 << 20
	groupRows  = 1 << 20
)

// parquetRow is the schema. Columns without a value are null.
type parquetRow struct {
	Seq        uint64  `parquet:"seq,delta"`
	Time       *int64  `parquet:"time,optional,timestamp(nanosecond)"`
	Stream     *string `parquet:"stream,optional,dict"`
	StreamID   *int32  `parquet:"stream_id,optional,dict"`
	Kind       string  `parquet:"kind,dict"`
	Code       *int32  `parquet:"code,optional,dict"`
	Opcode     *string `parquet:"opcode,optional,dict"`
	Final      *bool   `parquet:"final,optional"`
	Outbound   *bool   `parquet:"outbound,optional"`
	Compressed *bool   `parquet:"compressed,optional"`
	Truncated  *bool   `parquet:"truncated,optional"`
	Payload    []byte  `parquet:"payload,optional"`

	LossFirst   *uint64 `parquet:"loss_first,optional"`
	LossRecords *uint64 `parquet:"loss_records,optional"`
	LossBytes   *uint64 `parquet:"loss_bytes,optional"`
	LossFrom    *int64  `parquet:"loss_from,optional,timestamp(nanosecond)"`
	LossTo      *int64  `parquet:"loss_to,optional,timestamp(nanosecond)"`
	LossReason  *string `parquet:"loss_reason,optional,dict"`
}

type parquetWriter struct {
	w     *parquet.GenericWriter[parquetRow]
	row   [1]parquetRow
	group int // payload bytes that a row group holds
	bytes int // of payload in this row group
	rows  int
	err   error
}

// NewParquet writes Parquet to w, compressed with Snappy. A row group of 32 MiB of payload, or 2^20 rows, is kept in memory, and some 17 KiB
// for each row group that was written, for the footer: 0.5 GiB when 1 TiB of payload has been.
func NewParquet(w io.Writer) Writer {
	return &parquetWriter{group: groupBytes, w: parquet.NewGenericWriter[parquetRow](w,
		parquet.Compression(&parquet.Snappy), parquet.SkipPageBounds("payload"), parquet.CreatedBy("logbuf", "", ""))}
}

func (p *parquetWriter) Write(r *Row) error {
	if p.err != nil {
		return p.err
	}
	p.row[0] = newParquetRow(r)
	if _, p.err = p.w.Write(p.row[:]); p.err != nil {
		return p.err
	}
	p.row[0] = parquetRow{}
	p.bytes += len(r.Payload)
	p.rows++
	if p.bytes >= p.group || p.rows >= groupRows {
		p.bytes, p.rows = 0, 0
		p.err = p.w.Flush()
	}
	return p.err
}

func (p *parquetWriter) Close() error {
	if p.err == nil {
		p.err = p.w.Close()
	}
	return p.err
}

func newParquetRow(r *Row) parquetRow {
	row := parquetRow{Seq: r.Seq, Kind: r.Kind, Stream: known(r.Stream), Opcode: known(r.Opcode)}
	if !r.NoTime {
		row.Time = &r.Time
	}
	if r.StreamID != 0 {
		id := int32(r.StreamID)
		row.StreamID = &id
	}
	if l := r.Loss; l != nil {
		row.LossFirst, row.LossRecords, row.LossBytes = &l.First, known(l.Records), known(l.Bytes)
		row.LossFrom, row.LossTo, row.LossReason = known(l.From), known(l.To), known(l.Reason)
		return row
	}
	code := int32(r.Code)
	row.Code, row.Final, row.Outbound, row.Compressed, row.Truncated = &code, &r.Final, &r.Outbound, &r.Compressed, &r.Truncated
	if row.Payload = r.Payload; row.Payload == nil {
		row.Payload = []byte{} // empty, not null
	}
	return row
}

// known is nil for the zero value.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

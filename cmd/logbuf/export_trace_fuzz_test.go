package main

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/nexus-logbuf/logbuf/adapter/tracebuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/export"
	"github.com/nexus-logbuf/logbuf/journal"
)

// Whatever telemetry an archive holds, in whatever order, the trace keeps the format's rules. The input is a list of changes to the records of an
// archive that a program wrote: which record, which track, span and parent, when, and whether control records come before it.
func FuzzPerfetto(f *testing.F) {
	records, tracks := fuzzRecords(f)
	f.Add([]byte{0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0})
	f.Add(bytes.Repeat([]byte{1, 0, 1, 0, 200, 1, 2, 1, 3, 2, 1, 2, 3, 0, 1, 0, 0, 3}, 4))
	f.Fuzz(func(t *testing.T, changes []byte) {
		d := new(tracebuf.Decoder)
		for i, rec := range records {
			if len(changes) == 0 || changes[0]>>4 != 15 || i%2 == 0 { // sometimes half of the definitions are missing
				_ = d.Learn(rec)
			}
		}
		var out bytes.Buffer
		rows := &perfettoRows{traceRows: traceRows{names: new(streamNames), d: d}, w: export.NewPerfetto(&out, d)}
		for seq := uint64(0); len(changes) >= 6; seq++ {
			rec := fuzzed(records, tracks, changes[:6])
			rec.Seq = seq
			if err := rows.print(nil, rec); err != nil {
				t.Fatal(err)
			}
			if changes[5]&4 != 0 {
				if err := rows.gap(journal.Gap{FirstSeq: seq}); err != nil {
					t.Fatal(err)
				}
			}
			changes = changes[6:]
		}
		if err := rows.close(); err != nil {
			t.Fatal(err)
		}
		if _, err := checkTrace(out.Bytes()); err != nil {
			t.Fatal(err)
		}
	})
}

// fuzzed makes a record of six bytes.
func fuzzed(records []journal.Record, tracks []uint32, c []byte) journal.Record {
	switch c[5] & 3 {
	case 1:
		return journal.Record{Kind: journal.KindOpen, Time: int64(c[4])}
	case 2:
		return journal.Record{Kind: journal.KindMark, Time: int64(c[4]), Payload: []byte{1, 'm', c[3]}}
	}
	rec := records[int(c[0])%len(records)]
	rec.Time = int64(int8(c[4])) * 10
	rec.Payload = bytes.Clone(rec.Payload)
	at := 4
	if rec.Kind == tracebuf.KindSample {
		at = 0
	}
	if rec.Kind != tracebuf.KindDefine {
		binary.LittleEndian.PutUint32(rec.Payload[at:], tracks[int(c[1])%len(tracks)])
	}
	if rec.Kind == tracebuf.KindBegin || rec.Kind == tracebuf.KindEnd {
		binary.LittleEndian.PutUint32(rec.Payload[8:], uint32(c[2]%8))
		binary.LittleEndian.PutUint32(rec.Payload[12:], uint32(c[3]%8))
	}
	if n := len(rec.Payload); rec.Kind == tracebuf.KindBegin && n > 16 {
		rec.Payload[16+int(c[3])%(n-16)] ^= c[2] // fields are what they are
	}
	return rec
}

// fuzzRecords are the telemetry of an archive, and the numbers of its tracks and one more.
func fuzzRecords(f *testing.F) (records []journal.Record, tracks []uint32) {
	f.Helper()
	a, err := openArchive(telemetryArchive(f), nil)
	if err != nil {
		f.Fatal(err)
	}
	defer a.close()
	seen := map[uint32]bool{99: true}
	tracks = []uint32{99}
	for rec, err := range a.reader.All() {
		if err != nil {
			f.Fatal(err)
		}
		if !tracebuf.IsKind(rec.Kind) {
			continue
		}
		rec.Stream, rec.Payload = 0, bytes.Clone(rec.Payload)
		records = append(records, rec)
		if id := binary.LittleEndian.Uint32(rec.Payload[4:]); rec.Kind == tracebuf.KindBegin && !seen[id] {
			seen[id] = true
			tracks = append(tracks, id)
		}
	}
	return records, tracks
}

package journal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// field is a part of a structure as docs/JOURNAL.md names it. How: x bytes, u unsigned, i signed, t time, s text, z zeros.
type field struct {
	size int
	how  byte
	name string
}

var (
	headerFields = []field{
		{8, 'x', "magic"}, {2, 'u', "version, major"}, {2, 'u', "version, minor"}, {4, 'u', "header length"}, {16, 'x', "archive UUID"},
		{8, 'u', "segment number"}, {8, 'u', "epoch"}, {8, 'u', "base sequence"}, {8, 'u', "base position"}, {8, 't', "created"}, {8, 'z', "zero"},
		{8, 'x', "salt"}, {4, 'u', "frame format"}, {4, 'u', "block alignment"}, {4, 'u', "block limit"}, {4, 'u', "window"},
		{4, 'u', "incompatible features"}, {4, 'u', "compatible features"}, {8, 'u', "predecessor's end position"},
		{8, 'u', "predecessor's end sequence"}, {4, 'x', "predecessor's last header CRC"}, {4, 'x', "predecessor flags"}, {8, 'u', "original length"},
		{44, 'z', "zero"}, {4, 'x', "original last header CRC"}, {8, 'i', "maximum time before"}, {3892, 'z', "zero"}, {4, 'x', "CRC32C of bytes 0 to 4091"},
	}
	blockFields = []field{
		{4, 's', "magic"}, {4, 'x', "header CRC"}, {4, 'u', "stored length"}, {4, 'u', "raw length"}, {4, 'x', "payload CRC"}, {4, 'u', "count"},
		{8, 'u', "base sequence"}, {8, 'u', "durable position"}, {8, 'i', "minimum time"}, {8, 'i', "maximum time"}, {2, 'u', "codec"},
		{2, 'x', "flags"}, {4, 'x', "previous header CRC"},
	}
	frameFields  = []field{{4, 'i', "length"}, {1, 'x', "kind"}, {1, 'x', "flags"}, {2, 'u', "stream"}, {8, 't', "time"}}
	skipFields   = []field{{4, 'i', "length"}, {4, 'i', "type: a skip"}}
	streamFields = []field{{1, 'u', "version"}, {7, 'z', "zero"}, {8, 'u', "next ordinal"}}
	lossFields   = []field{
		{1, 'u', "version"}, {1, 'u', "reason: overload"}, {2, 'u', "stream"}, {4, 'u', "zero"}, {8, 'u', "first"}, {8, 'u', "records"}, {8, 'u', "bytes"},
		{8, 't', "from"}, {8, 't', "to"},
	}
	indexFields   = []field{{8, 'u', "base sequence"}, {8, 'i', "maximum time"}, {8, 'u', "offset"}, {4, 'x', "header CRC"}, {4, 'u', "count"}}
	trailerFields = []field{
		{8, 's', "magic"}, {2, 'u', "version"}, {2, 'x', "flags: by close"}, {4, 'u', "zero"}, {8, 'u', "first sequence"}, {8, 'u', "next sequence"},
		{8, 't', "minimum time"}, {8, 't', "maximum time"}, {8, 'u', "data end"}, {8, 'u', "records"}, {8, 'u', "raw bytes"}, {8, 'u', "lost"},
		{8, 'u', "index offset"}, {4, 'u', "index length"}, {4, 'x', "index CRC"}, {4, 'x', "last header CRC"}, {4, 'u', "blocks"},
		{16, 'z', "content hash: none"}, {4, 'x', "trailer CRC"}, {4, 's', "end magic"},
	}
	headFields = []field{
		{4, 's', "magic"}, {4, 'x', "CRC"}, {8, 'u', "epoch"}, {8, 'u', "segment number"}, {8, 'u', "written position"}, {8, 'u', "durable position"},
		{8, 'u', "next sequence"}, {8, 't', "last time"}, {8, 't', "heartbeat"},
	}
)

// dumper writes a file out, field by field.
type dumper struct {
	out  strings.Builder
	file []byte
	off  int
}

func (d *dumper) title(format string, args ...any) { fmt.Fprintf(&d.out, "\n"+format+"\n", args...) }

func (d *dumper) fields(fields []field) {
	for _, f := range fields {
		b := d.file[d.off:][:f.size]
		shown := fmt.Sprintf("% x", b)
		if f.how == 'z' {
			shown = fmt.Sprintf("%d zeros", f.size)
			if !bytes.Equal(b, make([]byte, f.size)) {
				shown = "not zero!"
			}
		}
		fmt.Fprintf(&d.out, "%6d  %-48s%s%s\n", d.off, shown, f.name, value(f.how, b))
		d.off += f.size
	}
}

func value(how byte, b []byte) string {
	n := int64(0)
	for i, c := range b[:min(8, len(b))] {
		n |= int64(c) << (8 * i)
	}
	switch how {
	case 'u', 'i':
		if how == 'i' && len(b) == 4 {
			n = int64(int32(n))
		}
		return fmt.Sprintf(" = %d", n)
	case 't':
		return " = " + time.Unix(0, n).UTC().Format("2006-01-02T15:04:05.000Z")
	case 's':
		return fmt.Sprintf(" %q", b)
	}
	return ""
}

// frame writes the frame at off out.
func (d *dumper) frame() {
	size, typ, bad := frameAt(d.file, d.off)
	if bad != "" {
		panic(bad)
	}
	end := d.off + size
	if typ == skipType {
		d.fields(append(skipFields, field{int(le.Uint32(d.file[d.off:])) - FrameHeaderLen, 'z', "skipped"}))
	} else {
		stop := d.off + int(le.Uint32(d.file[d.off:]))
		d.fields(frameFields)
		switch kind, _, _ := SplitType(typ); kind {
		case KindStream:
			d.fields(streamFields)
			d.fields([]field{{stop - d.off, 's', "name"}})
		case KindLoss:
			d.fields(lossFields)
		case KindClose:
			d.fields([]field{{1, 'u', "version"}})
		default:
			d.fields([]field{{stop - d.off, 's', "payload"}})
		}
	}
	if end > d.off {
		d.fields([]field{{end - d.off, 'z', "padding"}})
	}
}

// dumpExample writes the golden archive "example" out as docs/JOURNAL.md shows it.
func dumpExample(t *testing.T) string {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(goldenDir, "example", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	name := segmentName(0, 1)
	d := &dumper{file: read(name)}
	d.title("%s, %d bytes", name, len(d.file))
	d.title("segment header")
	d.fields(headerFields)
	for n, last := 1, false; !last; n++ {
		end := d.off + blockHeaderLen + int(le.Uint32(d.file[d.off+8:]))
		last = d.file[d.off+58]&blockLast != 0
		d.title("block %d", n)
		d.fields(blockFields)
		for d.off < end {
			d.title("frame in block %d", n)
			d.frame()
		}
	}
	d.title("footer: index")
	d.fields(indexFields)
	d.title("footer: trailer")
	d.fields(trailerFields)
	if d.off != len(d.file) {
		t.Errorf("the dump ends at %d of %d bytes", d.off, len(d.file))
	}
	d.file, d.off = read(headName), 0
	d.title("%s, %d bytes", headName, len(d.file))
	d.fields(headFields)
	return d.out.String()
}

// The example in docs/JOURNAL.md is the golden archive, to the byte. With LOGBUF_GOLDEN=make it is written anew.
func TestExampleInSpecification(t *testing.T) {
	const doc, begin, end = "../docs/JOURNAL.md", "```text\n", "```\n"
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), begin)
	shown, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("docs/JOURNAL.md has no example")
	}
	want := strings.TrimPrefix(dumpExample(t), "\n")
	if shown == want {
		return
	}
	if os.Getenv("LOGBUF_GOLDEN") == "make" {
		if err := os.WriteFile(doc, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, lines := strings.Split(shown, "\n"), strings.Split(want, "\n")
	for i := range lines {
		if i >= len(got) || got[i] != lines[i] {
			t.Fatalf("line %d of the example should be\n%s", i+1, lines[i])
		}
	}
	t.Fatal("the example is too long")
}

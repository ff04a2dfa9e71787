package export

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// packets are what the sample should be in a capture: long records in parts.
func packets(rows []Row) []Row {
	var out []Row
	for _, r := range data(rows) {
		for len(r.Payload) > maxPacket {
			part := r
			part.Payload, r.Payload = r.Payload[:maxPacket], r.Payload[maxPacket:]
			out = append(out, part)
		}
		out = append(out, r)
	}
	return out
}

// tshark runs the reader of captures that everybody uses, with its fields in columns.
func tshark(t *testing.T, file string, fields ...string) [][]string {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("LOGBUF_REQUIRE_TSHARK") != "" {
			t.Fatalf("LOGBUF_REQUIRE_TSHARK is set: %v", err)
		}
		t.Skip("tshark is not installed")
	}
	args := []string{"-n", "-r", file, "-o", `uat:user_dlts:"User 0 (DLT=147)","data","0","","0",""`, "-T", "fields", "-E", "separator=/t"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // no preferences of the user's
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, &stderr)
	}
	var lines [][]string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return lines
}

// Wireshark sees the frames, their times to the nanosecond, bytes, streams, directions, sequences and what was lost between them.
func TestPcapngInTshark(t *testing.T) {
	rows := sample()
	file := writeFile(t, "out.pcapng", func(f *os.File) Writer { return NewPcapng(f) }, rows)
	lines := tshark(t, file, "frame.number", "frame.time_epoch", "frame.len", "frame.cap_len", "data.data", "frame.packet_flags_direction",
		"frame.packet_id", "frame.interface_id", "frame.comment", "frame.drop_count")
	want := packets(rows)
	if len(lines) != len(want) {
		t.Fatalf("%d frames, want %d", len(lines), len(want))
	}
	for i, r := range want {
		got := lines[i]
		seconds := fmt.Sprintf("%d.%09d", max(r.Time, 0)/1e9, max(r.Time, 0)%1e9)
		direction := uint64(1)
		if r.Outbound {
			direction = 2
		}
		flags, err := strconv.ParseUint(got[5], 0, 32)
		if err != nil || got[1] != seconds || got[2] != fmt.Sprint(len(r.Payload)) || got[3] != got[2] || got[4] != hex.EncodeToString(r.Payload) ||
			flags != direction || got[6] != fmt.Sprint(r.Seq) {
			t.Fatalf("frame %d is %.200q; want time %s, %d bytes %.80x, direction %d, id %d", i+1, got, seconds, len(r.Payload), r.Payload, direction, r.Seq)
		}
		if drops := map[bool]string{true: "7"}[r.Seq == 4]; got[9] != drops {
			t.Errorf("frame %d: %q dropped before it, want %q", i+1, got[9], drops)
		}
		comment := ""
		switch {
		case r.Seq == 4:
			comment = "lost here: 7 records, 700 bytes (overload), from 2026-11-21T09:30:00.123456791Z"
		case r.Seq == 15:
			comment = "records 5 to 14 are missing: block 3: checksum, or so"
		case r.Seq == 16 && r.Opcode != "":
			comment = "mark: a mark"
		case r.Seq == 1:
			comment = "binary, not final"
		case r.Seq == 317:
			comment = fmt.Sprintf("part %d of 3 of a record of 640000 bytes", 3-(len(want)-1-i))
		}
		if !strings.Contains(got[8], comment) {
			t.Errorf("frame %d has comment %q, want %q", i+1, got[8], comment)
		}
	}
	names := make(map[string]string)
	for i, line := range tshark(t, file, "frame.interface_name") {
		names[lines[i][7]] = line[0]
		if name := want[i].Stream; name != "" && !strings.ContainsAny(name, "\r\n") && line[0] != name {
			t.Errorf("frame %d came by %q, want %q", i+1, line[0], name)
		}
	}
	if len(names) != 10 {
		t.Errorf("frames of interfaces %v, want 10", names)
	}
}

// block is a block of a capture, and its options by code.
type block struct {
	kind    uint32
	body    []byte
	options map[uint16][]byte
}

// parsePcapng checks the structure of a capture that this package wrote.
func parsePcapng(t *testing.T, b []byte) (blocks []block) {
	t.Helper()
	fixed := map[uint32]int{blockSection: 16, blockInterface: 8, blockStatistics: 12, blockPacket: 20}
	for len(b) > 0 {
		kind, length := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		if length%4 != 0 || int(length) > len(b) || binary.LittleEndian.Uint32(b[length-4:]) != length {
			t.Fatalf("block of kind %#x has length %d, and not at its end", kind, length)
		}
		body := b[8 : length-4]
		at, ok := fixed[kind]
		if !ok {
			t.Fatalf("block of kind %#x", kind)
		}
		if kind == blockPacket {
			at += (int(binary.LittleEndian.Uint32(body[12:])) + 3) &^ 3
		}
		blk := block{kind: kind, body: body, options: make(map[uint16][]byte)}
		for rest := body[at:]; ; {
			code, n := binary.LittleEndian.Uint16(rest), int(binary.LittleEndian.Uint16(rest[2:]))
			if code == optEnd {
				if len(rest) != 4 {
					t.Fatalf("%d bytes after the options", len(rest)-4)
				}
				break
			}
			blk.options[code] = rest[4 : 4+n]
			rest = rest[4+(n+3)&^3:]
		}
		blocks, b = append(blocks, blk), b[length:]
	}
	return blocks
}

// What tshark does not show: dropped packets, and the interfaces' statistics.
func TestPcapngCountsWhatIsLost(t *testing.T) {
	var b bytes.Buffer
	write(t, NewPcapng(&b), sample())
	drops := map[uint64]uint64{}
	var names []string
	type stats struct{ received, dropped uint64 }
	counted := map[string]stats{}
	for _, blk := range parsePcapng(t, b.Bytes()) {
		switch blk.kind {
		case blockInterface:
			if blk.options[optInterfaceTicks][0] != 9 || binary.LittleEndian.Uint16(blk.body) != 147 {
				t.Errorf("interface %q", blk.body)
			}
			names = append(names, string(blk.options[optInterfaceName]))
		case blockPacket:
			if d := blk.options[optPacketDrops]; d != nil {
				drops[binary.LittleEndian.Uint64(blk.options[optPacketID])] = binary.LittleEndian.Uint64(d)
			}
		case blockStatistics:
			counted[names[binary.LittleEndian.Uint32(blk.body)]] = stats{
				binary.LittleEndian.Uint64(blk.options[optStatReceived]), binary.LittleEndian.Uint64(blk.options[optStatDropped]),
			}
			if names[binary.LittleEndian.Uint32(blk.body)] == "silent" && !strings.Contains(string(blk.options[optComment]), "an unknown number of records (source gap)") {
				t.Errorf("the last loss is not told: %q", blk.options[optComment])
			}
		}
	}
	if len(drops) != 1 || drops[4] != 7 {
		t.Errorf("packets with drops before them: %v, want 7 before the one with id 4", drops)
	}
	for name, want := range map[string]stats{"trades": {4, 7}, "book": {2, 0}, "big": {3, 3}, "silent": {0, 0}, "-": {1, 0}, "s0": {60, 0}} {
		if counted[name] != want {
			t.Errorf("statistics of %s: %+v, want %+v", name, counted[name], want)
		}
	}
}

// A stream that only loses does not fill the memory with comments.
func TestPcapngNotesAreBounded(t *testing.T) {
	var b bytes.Buffer
	p := NewPcapng(&b).(*pcapng)
	for i := range 1000 {
		r := Row{Seq: uint64(i), Stream: "s", StreamID: 1, Kind: "mark", Payload: bytes.Repeat([]byte("é"), 4000)}
		if err := p.Write(&r); err != nil {
			t.Fatal(err)
		}
	}
	if notes := p.interfaces["s"].notes; len(notes) > 16 || len(notes[0]) > maxComment+3 {
		t.Errorf("%d notes, the first of %d bytes", len(notes), len(notes[0]))
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	parsePcapng(t, b.Bytes())
}

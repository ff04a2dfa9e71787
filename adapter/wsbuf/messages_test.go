package wsbuf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// entry is what Messages gives: a message as "text hello", an error as
// "! 3 bytes: why", another record as "kind 65".
func entries(t *testing.T, dir string, opts *journal.ReaderOptions, limit int) (list []string) {
	t.Helper()
	m, err := OpenMessages(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.Limit = limit
	for rec, err := range m.All() {
		var unread *MessageError
		switch {
		case errors.As(err, &unread):
			list = append(list, fmt.Sprintf("! %d bytes: %v", len(unread.Record.Payload), unread.Err))
		case err != nil:
			t.Fatal(err)
		case rec.Kind != journal.KindData:
			list = append(list, fmt.Sprintf("kind %#x", rec.Kind))
		default:
			dir := ""
			if rec.Flags&outbound != 0 {
				dir = ">"
			}
			if rec.Flags&journal.FlagCompressed != 0 || rec.Flags&journal.FlagFinal == 0 {
				dir = "?"
			}
			list = append(list, fmt.Sprintf("%s%s %s", dir, OpName(ws.OpCode(rec.Flags&journal.FlagSourceMask)), rec.Payload))
		}
	}
	return list
}

func TestMessages(t *testing.T) {
	const fin, z = journal.FlagFinal, journal.FlagCompressed
	text, cont := uint8(ws.OpText), uint8(ws.OpContinuation)
	c := newCompressor(true)
	one, two, three, four := c.message(tick(1)), c.message(tick(2)), c.message(tick(3)), c.message(tick(4))
	type put struct {
		kind, flags uint8
		payload     string
		lost        bool
	}
	data := func(flags uint8, payload string) put {
		return put{kind: journal.KindData, flags: flags, payload: payload}
	}
	lost := put{lost: true}
	handshake := put{kind: KindHandshake, payload: string(answer("", deflateName))}
	corrupt := "! %d bytes: compressed message of %d bytes: flate: corrupt input before offset"
	for _, tc := range []struct {
		name  string
		puts  []put
		want  []string // an error may have more at its end
		limit int
	}{
		{"plain", []put{data(text|fin, "a"), data(text|fin, "")}, []string{"text a", "text "}, 0},
		{"fragments, with a ping and the other direction between", []put{
			data(text, "a"), data(uint8(ws.OpPing)|fin, "p"), data(outbound|text, "A"), data(cont, ""), data(outbound|cont|fin, "B"), data(cont|fin, "b"),
		}, []string{"ping p", ">text AB", "text ab"}, 0},
		{"with context takeover", []put{handshake, data(text|fin|z, one), data(text|z, two[:5]), data(cont|fin|z, two[5:]), data(text|fin, "plain"), data(text|fin|z, three)},
			[]string{"text " + tick(1), "text " + tick(2), "text plain", "text " + tick(3)}, 0},
		{"after a loss", []put{data(text|fin|z, one), data(text|fin|z, two), lost, data(text|fin|z, four), data(text|fin|z, newCompressor(true).message("fresh"))},
			[]string{"text " + tick(1), "text " + tick(2), fmt.Sprintf(corrupt, len(four), len(four)), "text fresh"}, 0},
		{"loss in a message", []put{data(text, "a"), lost, data(cont|fin, "b"), data(text|fin, "c")},
			[]string{"! 1 bytes: records are missing in it, or may be", "text c"}, 0},
		{"another connection", []put{handshake, data(text|fin|z, one), handshake, data(text|fin|z, two)},
			[]string{"text " + tick(1), fmt.Sprintf(corrupt, len(two), len(two))}, 0},
		{"another connection in a message", []put{handshake, data(text, "a"), handshake, data(cont|fin, "stray"), data(text|fin, "b")},
			[]string{"! 1 bytes: its end is missing", "continuation stray", "text b"}, 0},
		{"message in a message", []put{data(text, "a"), data(text|fin, "b")}, []string{"! 1 bytes: its end is missing", "text b"}, 0},
		{"garbage", []put{data(text|fin|z, "\xff\xff\xff"), data(text|fin, "b")}, []string{fmt.Sprintf(corrupt, 3, 3), "text b"}, 0},
		{"too long", []put{data(text, "aaaaaaaa"), data(cont, "bbb"), data(cont|fin, "c"), data(text|fin, "d")},
			[]string{"! 8 bytes: it is longer than Messages.Limit: 10 bytes", "text d"}, 10},
		{"bomb", []put{data(text|fin|z, newCompressor(true).message(strings.Repeat("\x00", 1000)))},
			[]string{"! 10 bytes: compressed message of 10 bytes: inflates to more than that: 999"}, 999},
		{"lines and their parts", []put{data(fin, "line"), data(0, "par"), data(fin, "t"), {kind: 0x30, payload: "x"}},
			[]string{"continuation line", "?continuation par", "continuation t", "kind 0x30"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newArchive(t, nil)
			p := a.producer("s", nil)
			for _, x := range tc.puts {
				if x.lost {
					p.Lose(1, 10, journal.LossOverload)
				} else if err := p.WriteAt(1, x.kind, x.flags, []byte(x.payload)); err != nil {
					t.Fatal(err)
				}
			}
			a.close()
			got := entries(t, a.dir, nil, tc.limit)
			for i := range min(len(got), len(tc.want)) {
				if got[i] != tc.want[i] && !(tc.want[i][0] == '!' && strings.HasPrefix(got[i], tc.want[i])) {
					t.Errorf("%d: %s, want %s", i, got[i], tc.want[i])
				}
			}
			if len(got) != len(tc.want) {
				t.Errorf("%d entries, want %d: %q", len(got), len(tc.want), got)
			}
			shown := entries(t, a.dir, &journal.ReaderOptions{Control: true}, tc.limit)
			control, special := 0, 0
			for _, e := range shown {
				if strings.HasPrefix(e, "kind 0x4") || strings.HasPrefix(e, "kind 0x24") {
					control++
				}
			}
			for _, x := range tc.puts {
				if x.lost || x.kind == KindHandshake {
					special++
				}
			}
			if len(shown)-control != len(got) || control < special+2 { // and streams, and the end
				t.Errorf("with control records: %q", shown)
			}
		})
	}
}

// A recording that had to drop frames of a connection with context takeover
// gives each message right, or not at all, and counts those that are missing.
func TestMessagesAfterOverload(t *testing.T) {
	g := newGateFS()
	a := newArchive(t, &recorder.Options{Journal: journal.Options{FS: g}})
	in := a.producer("in", &recorder.ProducerOptions{LaneSize: 4096})
	tap := NewTap(&scriptConn{}, in, nil, nil)
	tap.Write([]byte(testRequest))
	tap.in.pass([]byte(testDeflate))
	c := newCompressor(true)
	const bursts, burst = 20, 200
	const messages = bursts * burst
	for i := range bursts {
		g.shut()
		w := &wire{}
		for k := range burst {
			w.addCompressed(ws.OpText, true, c.message(tick(i*burst+k)))
		}
		tap.in.pass(w.Bytes()) // the lane takes the first of them
		g.open()
		for in.Stats().LagRecords > 0 {
			runtime.Gosched()
		}
	}
	tap.Close()
	if err := tap.Err(); err != nil {
		t.Errorf("Err: %v: frames without room are for Stats", err)
	}
	a.close()
	s := in.Stats()
	if s.Records+s.Lost != messages+1 || s.Lost == 0 {
		t.Fatalf("%d recorded, %d lost, want %d together", s.Records, s.Lost, messages+1)
	}
	var right, unread uint64
	for _, e := range entries(t, a.dir, nil, 0) {
		if e[0] == '!' {
			unread++
			continue
		}
		var id int
		if _, err := fmt.Sscanf(e, `text {"type":"trade","symbol":"BTC-USD","id":%d,`, &id); err != nil || e != "text "+tick(id) {
			t.Fatalf("%q came out wrong", e)
		}
		right++
	}
	if right+unread > s.Records || right+unread < s.Records-1 || unread == 0 || right == 0 {
		t.Errorf("%d right, %d unread of %d recorded", right, unread, s.Records)
	}
}

// Records later than ToTime are not given, but what follows refers to them.
func TestMessagesToTime(t *testing.T) {
	a := newArchive(t, nil)
	p := a.producer("s", nil)
	c := newCompressor(true)
	for i, at := range []int64{100, 300, 200, 400} { // the clock was stepped back
		if err := p.WriteAt(at, journal.KindData, uint8(ws.OpText)|journal.FlagFinal|journal.FlagCompressed, []byte(c.message(tick(i)))); err != nil {
			t.Fatal(err)
		}
	}
	a.close()
	if got := entries(t, a.dir, &journal.ReaderOptions{ToTime: 250}, 0); len(got) != 2 || got[1] != "text "+tick(2) {
		t.Errorf("%q", got)
	}
	if _, err := OpenMessages(a.dir, &journal.ReaderOptions{Window: 1}); err == nil {
		t.Error("opened with a Window")
	}
}

// A small record may inflate to a large message, in each of many streams: one at a
// time is held.
func TestMessagesHoldOneAtATime(t *testing.T) {
	const streams, size = 30, 1 << 20
	a := newArchive(t, nil)
	bomb := newCompressor(false).message(strings.Repeat("x", size))
	half := strings.Repeat("y", 100<<10)
	for i := range streams {
		p := a.producer(fmt.Sprint(i), &recorder.ProducerOptions{Overload: recorder.OverloadWait})
		for _, r := range []struct {
			flags   uint8
			payload string
		}{
			{uint8(ws.OpText) | journal.FlagFinal | journal.FlagCompressed, bomb},
			{uint8(ws.OpText), half}, {uint8(ws.OpContinuation) | journal.FlagFinal, half},
		} {
			if err := p.WriteAt(1, journal.KindData, r.flags, []byte(r.payload)); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.close()
	m, err := OpenMessages(a.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	total := 0
	for rec, err := range m.All() {
		if err != nil {
			t.Fatal(err)
		}
		total += len(rec.Payload)
	}
	held := cap(m.joined) + cap(m.inflated)
	for _, f := range m.flows {
		held += cap(f.out) + cap(f.buf)
	}
	if total != streams*(size+2*len(half)) || held > 4*size {
		t.Errorf("%d bytes, and %d are held", total, held)
	}
}

func TestMessagesErrors(t *testing.T) {
	if _, err := OpenMessages(t.TempDir()+"/none", nil); err == nil {
		t.Error("an archive that is not there was opened")
	}
	a := newArchive(t, nil)
	a.close()
	m, err := OpenMessages(a.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Next(context.Background()); err != io.EOF {
		t.Errorf("Next: %v", err)
	}
}

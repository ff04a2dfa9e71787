package fixbuf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Two engines over a real connection, both ends recorded into one archive each:
// every byte is there, in the order of each direction, and the counters agree.
func TestConnRecordsBothDirections(t *testing.T) {
	const n = 400
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	buyer, seller := newRig(t), newRig(t)
	var wg sync.WaitGroup
	run := func(r *rig, nc net.Conn, me, peer string) {
		defer wg.Done()
		sessions := NewRecorder(r.rec, &Options{Overload: recorder.OverloadWait})
		defer sessions.Close()
		c := NewConn(nc, sessions)
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			for i := 1; i <= n; i++ {
				if _, err := c.Write(order(me, peer, i)); err != nil {
					t.Error(err)
				}
			}
			nc.(*net.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		<-wrote
		if err != nil {
			t.Error(err)
		}
		var want []byte
		for i := 1; i <= n; i++ {
			want = append(want, order(peer, me, i)...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s received %d bytes, %d were sent", me, len(got), len(want))
		}
		if err := errors.Join(c.Close(), c.Err()); err != nil {
			t.Error(err)
		}
		st := sessions.Stats().Sessions[0]
		if st.Name != "FIX.4.4:BUYER-SELLER" || c.Session() != st.Name || st.In != n || st.Out != n || st.Skipped != 0 ||
			st.Sequences[0].Next != n+1 || st.Sequences[1].Next != n+1 {
			t.Errorf("%s: %+v", me, st)
		}
	}
	wg.Add(2)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		run(seller, nc, "SELLER", "BUYER")
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	go run(buyer, nc, "BUYER", "SELLER")
	wg.Wait()
	for r, me := range map[*rig]string{buyer: "BUYER", seller: "SELLER"} {
		peer := map[string]string{"BUYER": "SELLER", "SELLER": "BUYER"}[me]
		entries, losses := r.contents()
		next := map[bool]int{false: 1, true: 1}
		for _, e := range entries {
			want := order(peer, me, next[e.out])
			if e.out {
				want = order(me, peer, next[e.out])
			}
			next[e.out]++
			if e.payload != string(want) || e.kind != journal.KindData || e.stream != "FIX.4.4:BUYER-SELLER" {
				t.Fatalf("%s: record %+v, want %q", me, e, want)
			}
		}
		if next[false] != n+1 || next[true] != n+1 || len(losses) > 0 {
			t.Errorf("%s: %v messages and losses %v", me, next, losses)
		}
	}
}

// What is no message is in the archive, too, as what it is; the bytes before the
// first message are a loss of known size.
// seenFirst is a connection that looks what is recorded when it is written to.
type seenFirst struct {
	net.Conn
	r   *Recorder
	out uint64
}

func (c *seenFirst) Write(b []byte) (int, error) {
	for _, s := range c.r.Stats().Sessions {
		c.out += s.Out
	}
	return len(b), nil
}

// An answer can come as soon as a question is sent: that is recorded before.
func TestConnRecordsFirst(t *testing.T) {
	r := newRig(t)
	sessions := NewRecorder(r.rec, nil)
	defer sessions.Close()
	nc := &seenFirst{r: sessions}
	if _, err := NewConn(nc, sessions).Write(order("A", "B", 1)); err != nil || nc.out != 1 {
		t.Errorf("%v; %d messages were recorded when the first was sent", err, nc.out)
	}
}

// A session that could not begin for want of memory begins with a later message.
func TestSessionBeginsLater(t *testing.T) {
	rec, err := recorder.Open(t.TempDir(), &recorder.Options{MemoryLimit: 200 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close(t.Context())
	other, err := rec.Producer("other", &recorder.ProducerOptions{LaneSize: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	sessions := NewRecorder(rec, nil)
	defer sessions.Close()
	tap := sessions.NewTap()
	if err := tap.In(order("A", "B", 1)); err == nil {
		t.Fatal("there was room")
	}
	other.Close()
	for n := 2; tap.In(order("A", "B", n)) != nil; n++ {
		time.Sleep(time.Millisecond)
	}
	if st := sessions.Stats(); st.Unrecorded == 0 || len(st.Sessions) != 1 || st.Sessions[0].Recording.Lost > 0 {
		t.Errorf("%+v", st)
	}
}

func TestTapKeepsEveryByte(t *testing.T) {
	r := newRig(t)
	sessions := NewRecorder(r.rec, &Options{LaneSize: 4 << 10, Overload: recorder.OverloadWait})
	tap := sessions.NewTap()
	a, b, c := order("A", "B", 1), order("B", "A", 1), order("A", "B", 4)
	long := message("35=B|49=A|56=B|34=2|58=" + strings.Repeat("x", 5000))
	odd := message("35=D|58=nobody's")
	for _, step := range []struct {
		out bool
		b   []byte
	}{
		{false, []byte("PROXY TCP4\r\n")}, {false, odd}, {false, a}, {true, b}, {false, []byte("noise")}, {true, broken(b)},
		{false, long}, {false, odd}, {false, c}, {true, b[:20]},
	} {
		feed := tap.In
		if step.out {
			feed = tap.Out
		}
		for _, one := range step.b {
			if err := feed([]byte{one}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tap.Close(); err != nil {
		t.Fatal(err)
	}
	st := sessions.Stats()
	s := st.Sessions[0]
	if s.In != 3 || s.Out != 2 || s.BadSum != 1 || s.TooLarge != 1 || s.Malformed != 1 || s.Sequences[0].Missing != 2 ||
		s.Skipped != uint64(12+len(odd)+5+len(long)+20) || st.UnrecordedBytes != 0 {
		t.Errorf("%+v", st)
	}
	sessions.Close()
	entries, losses := r.contents()
	kept := map[bool]string{}
	kinds := map[uint8]int{}
	for _, e := range entries {
		kept[e.out] += e.payload
		kinds[e.kind]++
	}
	if want := string(a) + "noise" + string(long) + string(odd) + string(c); kept[false] != want {
		t.Errorf("in: %q\nwant %q", kept[false], want)
	}
	if want := string(b) + string(broken(b)) + string(b[:20]); kept[true] != want {
		t.Errorf("out: %q\nwant %q", kept[true], want)
	}
	if kinds[journal.KindData] != 4 || kinds[KindBadSum] != 1 {
		t.Errorf("kinds %v", kinds)
	}
	if len(losses) != 1 || losses[0].Bytes != uint64(12+len(odd)) || losses[0].Records != 0 {
		t.Errorf("losses %+v", losses)
	}
}

func TestRecordGapsAndLimits(t *testing.T) {
	r := newRig(t)
	var gaps []Gap
	sessions := NewRecorder(r.rec, &Options{MaxSessions: 2, OnGap: func(g Gap) { gaps = append(gaps, g) }})
	for _, m := range [][]byte{order("A", "B", 1), order("A", "B", 5), order("C", "B", 9)} {
		if err := sessions.Record(true, m); err != nil {
			t.Fatal(err)
		}
	}
	for name, m := range map[string][]byte{
		"one more than Options.MaxSessions": order("D", "B", 1),
		"64":                                order(strings.Repeat("x", 65), "B", 1),
		"begin with 3 bytes of skipped":     []byte("abc"),
		"MsgSeqNum":                         message("35=D|49=A|56=B"),
	} {
		if err := sessions.Record(true, m); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
	// A connection with a session too many says so, and goes on with one that is there.
	tap := sessions.NewTap()
	if err := tap.In(append(order("E", "B", 1), order("A", "B", 6)...)); err == nil {
		t.Error("no error about a session too many")
	}
	if tap.Session() != "FIX.4.4:A-B" {
		t.Errorf("session %q", tap.Session())
	}
	if want := []Gap{{"FIX.4.4:A-B", "A", Range{2, 4}}}; fmt.Sprint(gaps) != fmt.Sprint(want) {
		t.Errorf("gaps %v, want %v", gaps, want)
	}
	if st := sessions.Stats(); st.Unrecorded != 5 || len(st.Sessions) != 2 {
		t.Errorf("%+v", st)
	}
	sessions.Close()
	if err := sessions.Record(true, order("A", "B", 7)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := tap.In(order("A", "B", 7)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if entries, _ := r.contents(); len(entries) != 4 {
		t.Errorf("%d records, want 4", len(entries))
	}
}

// A peer that has gone before a session began costs a count; a lane that is full costs a
// counted loss that the archive names; a recorder that is closed costs an error and nothing else.
func TestLossesAreCounted(t *testing.T) {
	r := newRig(t)
	sessions := NewRecorder(r.rec, nil)
	tap := sessions.NewTap()
	tap.In([]byte("GET / HTTP/1.1\r\n\r\n"))
	tap.Close()
	if st := sessions.Stats(); st.UnrecordedBytes != 18 || len(st.Sessions) != 0 {
		t.Errorf("%+v", st)
	}
	client, server := net.Pipe()
	defer server.Close()
	go io.Copy(io.Discard, server)
	c := NewConn(client, sessions)
	c.Write(order("A", "B", 1))
	sessions.Close()
	if _, err := c.Write(order("A", "B", 2)); err != nil || !errors.Is(c.Err(), recorder.ErrClosed) {
		t.Errorf("write: %v, recording: %v", err, c.Err())
	}
	c.Close()
}

// 500 sessions fit in the memory that the documentation states.
func TestFiveHundredSessions(t *testing.T) {
	dir := t.TempDir()
	rec, err := recorder.Open(dir, &recorder.Options{MemoryLimit: (*Options)(nil).Memory(500)})
	if err != nil {
		t.Fatal(err)
	}
	sessions := NewRecorder(rec, nil)
	for i := range 500 {
		if err := sessions.Record(i%2 == 0, order(fmt.Sprintf("C%03d", i), "EXCH", 1)); err != nil {
			t.Fatal(err)
		}
	}
	if st := rec.Stats(); st.LaneMemory != 16<<20+484<<17 || len(st.Streams) != 500 {
		t.Errorf("%d bytes of lanes for %d streams", st.LaneMemory, len(st.Streams))
	}
	if err := sessions.Record(true, order("ONE", "MORE", 1)); err == nil || !strings.Contains(err.Error(), "MemoryLimit") {
		t.Errorf("beyond the memory: %v", err)
	}
	sessions.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := rec.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// A message that waits for room holds up nobody who looks at the counters, and gives
// up when the Recorder is closed; the archive says that it came.
func TestWaitingMessage(t *testing.T) {
	r := &rig{t: t, dir: t.TempDir()}
	disk := vfs.NewFault(nil)
	var err error
	if r.rec, err = recorder.Open(r.dir, &recorder.Options{Journal: journal.Options{FS: disk}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	sessions := NewRecorder(r.rec, &Options{LaneSize: 4 << 10, Overload: recorder.OverloadWait})
	if err := sessions.Record(false, order("A", "B", 1)); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	disk.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
		if op.Kind == vfs.OpWrite || op.Kind == vfs.OpSync {
			<-hold
		}
		return vfs.Verdict{}
	})
	ended := make(chan error, 1)
	offered := 1
	go func() {
		for i := 2; ; i++ {
			if err := sessions.Record(false, order("A", "B", i)); err != nil {
				offered = i
				ended <- err
				return
			}
		}
	}()
	for full := false; !full; { // a message is in sight that is not in the lane
		st := sessions.Stats().Sessions[0]
		full = st.In > st.Recording.Records+st.Recording.LagRecords+20 || st.Recording.LaneHighWater > 3<<10
		time.Sleep(time.Millisecond)
	}
	sessions.Close()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	close(hold)
	entries, losses := r.contents()
	lost := uint64(0)
	for _, l := range losses {
		lost += l.Bytes
	}
	if len(entries) != offered-1 || len(losses) > 1 || len(losses) == 1 && lost == 0 {
		t.Errorf("%d records of %d, losses %+v", len(entries), offered, losses)
	}
}

// Several sessions may share a connection; each message is in the stream of its own.
func TestSessionsShareConnection(t *testing.T) {
	r := newRig(t)
	sessions := NewRecorder(r.rec, &Options{Overload: recorder.OverloadWait})
	tap := sessions.NewTap()
	var want []string
	for i := range 100 {
		who := string(rune('A' + i%3))
		m := order(who, "X", i)
		want = append(want, "FIX.4.4:"+who+"-X "+string(m))
		if err := tap.In(m); err != nil && i > 0 { // number 0 is none
			t.Fatal(err)
		}
	}
	tap.Close()
	sessions.Close()
	entries, _ := r.contents()
	var got []string
	for _, e := range entries {
		got = append(got, e.stream+" "+e.payload)
	}
	slices.Sort(got)
	slices.Sort(want[1:])
	if !slices.Equal(got, want[1:]) {
		t.Errorf("%d records, want %d, or they are in other streams: %q", len(got), len(want)-1, got[:1])
	}
}

// hanging returns sessions over a disk that hangs until release is called, and what the
// message gives, or will, whose session began first.
func hanging(t *testing.T, o *Options) (r *rig, sessions *Recorder, first chan error, release func()) {
	r = &rig{t: t, dir: t.TempDir()}
	disk := vfs.NewFault(nil)
	var err error
	if r.rec, err = recorder.Open(r.dir, &recorder.Options{Journal: journal.Options{FS: disk}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	sessions = NewRecorder(r.rec, o)
	hold, hangs := make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	hung := sync.OnceFunc(func() { close(hangs) })
	disk.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
		if op.Kind == vfs.OpWrite {
			hung()
			<-hold
		}
		return vfs.Verdict{}
	})
	first = make(chan error, 1)
	go func() { first <- sessions.Record(false, order("A", "B", 1)) }()
	<-hangs
	return r, sessions, first, release
}

// Under OverloadWait, a session that begins while the disk hangs loses nothing, however
// long that takes; and Close ends the waiting.
func TestSessionWaitsForItsStream(t *testing.T) {
	r, sessions, first, release := hanging(t, &Options{Overload: recorder.OverloadWait})
	done := make(chan error, 2)
	record := func(who string) { done <- sessions.Record(false, order(who, "D", 1)) }
	go record("C")
	select {
	case err := <-done:
		t.Fatalf("not held up: %v", err)
	case <-time.After(openPatience + 200*time.Millisecond):
	}
	release()
	if err := errors.Join(<-first, <-done); err != nil {
		t.Fatal(err)
	}
	sessions.Close()
	if entries, losses := r.contents(); len(entries) != 2 || len(losses) != 0 {
		t.Errorf("%d records, losses %+v", len(entries), losses)
	}

	r, sessions, _, release = hanging(t, &Options{Overload: recorder.OverloadWait})
	go record("C")
	for len(sessions.Stats().Sessions) < 2 {
		time.Sleep(time.Millisecond)
	}
	sessions.Close()
	if err := <-done; !errors.Is(err, recorder.ErrClosed) {
		t.Errorf("Close ends the waiting with %v", err)
	}
	if n := sessions.Stats().Unrecorded; n == 0 {
		t.Error("the message is not counted")
	}
	release()
	r.contents()
}

// A disk that hangs when a session begins holds its first message up for a second, and
// what comes until there is a stream is lost, and said to be.
func TestSessionBeginsWhileTheDiskHangs(t *testing.T) {
	r, sessions, first, release := hanging(t, nil)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 3; i++ {
		if err := sessions.Record(false, order("C", "D", i)); err != nil {
			t.Fatal(err)
		}
	}
	st := sessions.Stats()
	release()
	for i := range 2 { // the first session's stream may have been held up, too
		for sessions.Stats().Sessions[i].Recording.LaneCapacity == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if err := sessions.Record(false, order("C", "D", 4)); err != nil {
		t.Fatal(err)
	}
	sessions.Close()
	entries, losses := r.contents()
	lost := uint64(0)
	for _, l := range losses {
		lost += l.Records
	}
	seen := st.Sessions[0].Recording.Lost + st.Sessions[1].Recording.Lost
	if uint64(len(entries))+lost != 5 || lost != seen || lost == 0 {
		t.Errorf("%d records, %d lost, %d by the counters", len(entries), lost, seen)
	}
}

package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// message i of a connection, deterministic, of all sizes up to 64 KiB and a few
// above.
func message(conn string, i int) (websocket.MessageType, []byte) {
	rng := rand.New(rand.NewPCG(uint64(i), uint64(len(conn))))
	n := rng.IntN(1 << (1 + rng.IntN(13)))
	if i%200 == 7 {
		n = 60_000 + rng.IntN(10_000)
	}
	b := make([]byte, n)
	for j := range b {
		b[j] = byte(i + j + len(conn))
	}
	if i%2 == 0 {
		return websocket.MessageBinary, b
	}
	for j := range b {
		b[j] = ' ' + b[j]%90
	}
	return websocket.MessageText, b
}

// coder is a WebSocket server of an independent make, which sends n messages to
// each connection and closes it.
func coder(t *testing.T, n int) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		ctx := c.CloseRead(context.Background())
		for i := range n {
			typ, b := message(r.URL.Path, i)
			if err := c.Write(ctx, typ, b); err != nil {
				return // whoever asked for this connection misses the rest
			}
		}
		c.Close(websocket.StatusNormalClosure, "")
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// check reads the archive back: every message is there, in order and byte for
// byte, or declared lost by its ordinal.
func check(t *testing.T, dir string, names []string, n int) (lost uint64) {
	t.Helper()
	rep, err := journal.Verify(dir, nil)
	if err != nil || rep.Verdict != journal.Clean {
		t.Fatalf("verify: %+v, %v", rep, err)
	}
	r, err := journal.OpenReader(dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := map[string]uint64{}
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		name := r.StreamName(rec.Stream)
		switch rec.Kind {
		case journal.KindLoss:
			l, err := journal.ParseLoss(rec.Payload)
			if err != nil || l.First != next[name] || l.Records == 0 {
				t.Fatalf("stream %s at %d: loss %+v, %v", name, next[name], l, err)
			}
			next[name] += l.Records
			lost += l.Records
		case journal.KindData:
			i := next[name]
			next[name]++
			op := ws.OpCode(rec.Flags & journal.FlagSourceMask)
			if i == uint64(n) && op == ws.OpClose {
				continue
			}
			typ, want := message("/"+name, int(i))
			if string(rec.Payload) != string(want) || op != ws.OpCode(typ) {
				t.Fatalf("stream %s, message %d: opcode %d and %d bytes, sent %v and %d bytes", name, i, op, len(rec.Payload), typ, len(want))
			}
		}
	}
	for _, name := range names {
		if next[name] != uint64(n)+1 {
			t.Errorf("stream %s: %d messages accounted for, %d were sent, the close frame included", name, next[name], n+1)
		}
	}
	return lost
}

// sources are those of the arguments, all recorded in the same way.
func sources(t *testing.T, how Source, args ...string) (all []Source) {
	t.Helper()
	specs, err := source.ParseAll(args)
	if err != nil {
		t.Fatal(err)
	}
	for _, how.Spec = range specs {
		all = append(all, how)
	}
	return all
}

func reading(r io.Reader) Source { return Source{Options: source.Options{Stdin: r}} }

// The job itself: several connections to an independent server, at full speed,
// with a disk of any speed, under both policies; and what is in the archive
// equals what the server sent.
func TestRecordsWhatTheServerSent(t *testing.T) {
	drop, wait := recorder.OverloadDrop, recorder.OverloadWait
	slow := func() vfs.FS {
		f := vfs.NewFault(nil)
		f.Slow(3*time.Millisecond, vfs.OpWrite, vfs.OpSync)
		return f
	}
	for _, tc := range []struct {
		name     string
		overload *recorder.Overload
		fs       func() vfs.FS
		lane     int
		sync     journal.Sync
		hang     bool // the disk takes a long message only when something has been lost
		lossless bool
	}{
		{name: "wait", overload: &wait, lossless: true},
		{name: "wait, slow disk", overload: &wait, fs: slow, lossless: true},
		{name: "wait, slow disk, sync batch", overload: &wait, fs: slow, sync: journal.SyncBatch, lossless: true},
		{name: "drop, room enough", overload: &drop, lane: 32 << 20, lossless: true},
		{name: "drop, disk that hangs", hang: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const n = 1000
			url := coder(t, n)
			dir := t.TempDir()
			cfg := &Config{Dir: dir, Sources: sources(t, Source{Overload: tc.overload, Ring: tc.lane}, "a="+url+"/a", "bb="+url+"/bb", "ccc="+url+"/ccc")}
			cfg.Journal.Sync = tc.sync
			if tc.fs != nil {
				cfg.Journal.FS = tc.fs()
			}
			if tc.hang {
				hangUntilLost(cfg)
			}
			rep, err := Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			lost := check(t, dir, []string{"a", "bb", "ccc"}, n)
			if lost != rep.Lost || rep.Records+lost != 3*(n+1) || rep.NotWritten != 0 || rep.DurableSeq != rep.NextSeq {
				t.Errorf("lost %d; report %+v", lost, rep)
			}
			if (lost == 0) != tc.lossless {
				t.Errorf("lost %d messages", lost)
			}
		})
	}
}

// hangUntilLost gives the run a disk that hangs at the first message of 60,000 bytes, which is one of the first ten, until a stream has lost
// something.
func hangUntilLost(cfg *Config) {
	lost, disk := make(chan struct{}), vfs.NewFault(nil)
	disk.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
		if op.Kind == vfs.OpWrite && op.Len > 60_000 {
			<-lost
		}
		return vfs.Verdict{}
	})
	tell := sync.OnceFunc(func() { close(lost) })
	cfg.Journal.FS, cfg.WatchEvery = disk, time.Millisecond
	cfg.Watch = func(s *Snapshot) {
		for _, st := range s.Stats.Streams {
			if st.Lost > 0 {
				tell()
			}
		}
	}
}

// rude serves each connection with b after the handshake, and then does with it
// what end says.
func rude(t *testing.T, b string, end func(nc net.Conn)) (url string) {
	t.Helper()
	return "ws://" + serve(t, func(nc net.Conn) {
		if _, err := ws.Upgrade(nc); err == nil {
			io.WriteString(nc, b)
			end(nc)
		}
	})
}

// serve handles each connection in a goroutine of its own, and closes it then.
func serve(t *testing.T, handle func(nc net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				handle(nc)
			}()
		}
	}()
	return ln.Addr().String()
}

// A peer that breaks the rules, stalls, or goes away in mid-frame costs the
// others nothing; what it sent before is in the archive.
func TestBadPeerAmongGoodOnes(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	stall := func(net.Conn) { <-hold }
	drain := func(nc net.Conn) { io.Copy(io.Discard, nc) }
	for _, tc := range []struct {
		name, bytes string
		end         func(net.Conn)
		err         string // of the run; "-": it goes on until stopped
		lost        uint64
	}{
		{"stalls in mid-frame", "\x81\x02hi\x82\x7e\x10\x00half", stall, "-", 1},
		{"masked", "\x81\x02hi\x81\x82\x00\x00\x00\x00xx", drain, "text frame is masked", 0},
		{"a lie about the length", "\x81\x02hi\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", drain, "9223372036854775807 bytes", 1},
		{"goes away in mid-frame", "\x81\x02hi\x82\x7e\x10\x00half", func(net.Conn) {}, "of which 4 had come", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const n = 300
			url, bad := coder(t, n), rude(t, tc.bytes, tc.end)
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg := &Config{Dir: dir, Sources: sources(t, Source{Ring: 32 << 20, Options: source.Options{Reconnect: source.Never}}, "a="+url+"/a", "bad="+bad)}
			if tc.err == "-" {
				cfg.Watch = func(s *Snapshot) {
					if s.Sources[0].State == source.Ended && s.Stats.Streams[1].Records == 1 {
						cancel()
					}
				}
			}
			rep, err := Run(ctx, cfg)
			if tc.err == "-" {
				if err != nil || !rep.Interrupted {
					t.Errorf("Run: %v, interrupted %v", err, rep.Interrupted)
				}
			} else if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("Run: %v, want %q", err, tc.err)
			}
			if s := rep.Streams[1]; s.Records != 1 || s.Bytes != 2 || s.Lost != tc.lost {
				t.Errorf("the bad peer's stream: %+v, want one record of 2 bytes and %d lost", s, tc.lost)
			}
			if s := rep.Streams[0]; s.Records != n+1 || s.Lost != 0 {
				t.Errorf("the good peer's stream: %+v", s)
			}
		})
	}
}

// A disk that fails ends the run with an error that names file and operation,
// what was lost, and what is safe.
func TestDiskFails(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpWrite, vfs.OpSync} {
		t.Run(string(kind), func(t *testing.T) {
			disk := vfs.NewFault(nil)
			url := coder(t, 100_000)
			cfg := &Config{Dir: t.TempDir(), Sources: sources(t, Source{}, "a="+url+"/a", "b="+url+"/b"), Journal: journal.Options{FS: disk}, WatchEvery: time.Millisecond}
			broken := false
			cfg.Watch = func(s *Snapshot) {
				if s.Stats.Journal.DurableSeq > 20 && !broken {
					broken = true
					disk.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
						if op.Kind == kind && op.Name != "HEAD" {
							return vfs.Verdict{Err: syscall.ENOSPC}
						}
						return vfs.Verdict{}
					})
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			rep, err := Run(ctx, cfg)
			if err == nil || ctx.Err() != nil {
				t.Fatalf("Run: %v", err)
			}
			text := err.Error()
			for _, want := range []string{cfg.Dir, syscall.ENOSPC.Error(), ".lbj", "records up to sequence"} {
				if !strings.Contains(text, want) {
					t.Errorf("error without %q: %s", want, text)
				}
			}
			if strings.Count(text, syscall.ENOSPC.Error()) > 2 {
				t.Errorf("the same again and again: %s", text)
			}
			if rep.DurableSeq < 20 || rep.Error == "" {
				t.Errorf("report %+v", rep)
			}
		})
	}
}

// Force lets go of a disk that hangs, and the report says what that cost.
func TestForce(t *testing.T) {
	disk := vfs.NewFault(nil)
	url := coder(t, 2000)
	force := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := &Config{Dir: t.TempDir(), Sources: sources(t, Source{Ring: 32 << 20}, "a="+url+"/a"), Journal: journal.Options{FS: disk}, Force: force, WatchEvery: time.Millisecond}
	slow, forced := false, false
	cfg.Watch = func(s *Snapshot) {
		switch {
		case !slow && s.Stats.Streams[0].Records > 10:
			slow = true
			disk.Slow(5*time.Second, vfs.OpWrite)
		case slow && !forced && s.Stats.LagRecords > 10:
			forced = true
			cancel()
			close(force)
		}
	}
	start := time.Now()
	rep, err := Run(ctx, cfg)
	if !forced {
		t.Skip("the disk was faster than the test")
	}
	if err == nil || !strings.Contains(err.Error(), "not written") || !strings.Contains(err.Error(), "stopped at once") {
		t.Errorf("Run: %v", err)
	}
	if rep.NotWritten == 0 || !rep.Interrupted {
		t.Errorf("report %+v", rep)
	}
	t.Logf("let go after %v", time.Since(start))
}

func TestFor(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	url := rude(t, "\x81\x02hi", func(net.Conn) { <-hold })
	for d := 50 * time.Millisecond; ; d *= 2 { // until it is long enough for a connection on this machine
		rep, err := Run(t.Context(), &Config{Dir: t.TempDir(), Sources: sources(t, Source{}, url), For: d})
		if rep != nil && rep.Records == 0 && d < time.Minute {
			continue
		}
		if err != nil || rep.Interrupted || rep.Records != 1 {
			t.Errorf("Run: %+v, %v", rep, err)
		}
		return
	}
}

func TestCannotBegin(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := vfs.OS.MkdirAll(t.TempDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := vfs.OS.OpenFile(file, 0x41, 0o600) // O_CREAT|O_WRONLY
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	locked := t.TempDir()
	rec, err := recorder.Open(locked, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close(t.Context())
	for _, tc := range []struct {
		name, dir string
		lane      int
		is        error
		want      string
	}{
		{"a file", file, 0, nil, file},
		{"locked", locked, 0, journal.ErrLocked, locked},
		{"a ring beyond the limits", t.TempDir(), 1<<30 + 1, nil, "LaneSize"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			how := reading(strings.NewReader("x\n"))
			how.Ring = tc.lane
			rep, err := Run(t.Context(), &Config{Dir: tc.dir, Sources: sources(t, how, "-")})
			if err == nil || rep != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Run: %v, %v, want %q", rep, err, tc.want)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("Run: %v is not %v", err, tc.is)
			}
		})
	}
}

// Streams of standard input and of several runs go on in one archive.
func TestContinues(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		rep, err := Run(t.Context(), &Config{Dir: dir, Sources: sources(t, reading(strings.NewReader(fmt.Sprintf("run %d\n", i))), "-")})
		if err != nil || rep.NextSeq != uint64(i+1) {
			t.Fatalf("run %d: %+v, %v", i, rep, err)
		}
	}
	r, err := journal.OpenReader(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []byte
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec.Payload...)
	}
	if string(all) != "run 0\nrun 1\nrun 2\n" {
		t.Errorf("%q", all)
	}
}

// A disk that fails ends a run whose sources are idle, too.
func TestDiskFailsWhileNothingComes(t *testing.T) {
	disk := vfs.NewFault(nil)
	pr, pw := io.Pipe()
	defer pw.Close()
	go io.WriteString(pw, "one\n")
	cfg := &Config{Dir: t.TempDir(), Sources: sources(t, reading(pr), "-"), Journal: journal.Options{FS: disk}, WatchEvery: time.Millisecond}
	disk.SetHook(func(_ int, op vfs.Op) vfs.Verdict {
		if op.Kind == vfs.OpSync && op.Name != "HEAD" {
			if _, err := vfs.OS.Stat(cfg.Dir + "/broken"); err == nil {
				return vfs.Verdict{Err: syscall.EIO}
			}
		}
		return vfs.Verdict{}
	})
	broken := false
	cfg.Watch = func(s *Snapshot) {
		if s.Stats.Journal.DurableSeq == 1 && !broken {
			broken = true
			if err := vfs.OS.MkdirAll(cfg.Dir+"/broken", 0o700); err == nil {
				go io.WriteString(pw, "two\n")
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rep, err := Run(ctx, cfg)
	if !errors.Is(err, syscall.EIO) || ctx.Err() != nil {
		t.Fatalf("Run: %v; report %+v", err, rep)
	}
}

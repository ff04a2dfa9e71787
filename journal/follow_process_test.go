package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

// The environment of a test binary that is to be a writer.
const (
	writerDirEnv  = "LOGBUF_TEST_WRITER_DIR"
	writerKindEnv = "LOGBUF_TEST_WRITER_KIND"
)

// writerKinds are the writers that followers are tested with.
var writerKinds = map[string]*Options{
	"rotating":             {SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, SyncEvery: time.Millisecond},
	"trimming":             {SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, SyncEvery: time.Millisecond, Retention: Retention{MaxSegments: 3}},
	"compressing":          {SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, SyncEvery: time.Millisecond, Compress: true},
	"syncing every append": {SegmentSize: minSegmentSize, MaxBlock: minMaxBlock, Sync: SyncBatch},
}

// TestWriterProcess is no test: it is the process that TestFollowFromAnotherProcess starts and kills.
func TestWriterProcess(t *testing.T) {
	dir := os.Getenv(writerDirEnv)
	if dir == "" {
		t.Skip("started by TestFollowFromAnotherProcess")
	}
	w := mustOpen(t, dir, writerKinds[os.Getenv(writerKindEnv)])
	rnd := testRand(uint64(os.Getpid()))
	for {
		fill(t, w, 1+rnd.IntN(100), 1+rnd.IntN(30))
		if rnd.IntN(20) == 0 {
			time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond)
		}
	}
}

// Real processes: a writer that appends, rotates, is killed at any moment and started again, while two followers in another process read, one
// what is written and one what is durable. Neither misses a record, gets one twice or gets other bytes; what is trimmed before a follower has
// come to it, it is told of. A few kills; for as long as LOGBUF_SOAK says when that is set.
func TestFollowFromAnotherProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	rounds, soak := 3, time.Duration(0)
	if s := os.Getenv("LOGBUF_SOAK"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		rounds, soak = 1<<30, d
	}
	for kind := range writerKinds {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			mustClose(t, mustOpen(t, dir, nil)) // so that there is an archive
			until := time.Now().Add(soak)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			followers := []*follower{{name: "written"}, {name: "durable", opts: ReaderOptions{Durable: true}}}
			if kind == "trimming" {
				followers = append(followers, &follower{name: "slow", slow: true})
			}
			for _, f := range followers {
				f.opts.Follow = true
				wg.Go(func() { f.follow(ctx, t, dir) })
			}
			rnd := testRand(uint64(time.Now().UnixNano()))
			for round := 0; round < rounds && !t.Failed() && (soak == 0 || time.Now().Before(until)); round++ {
				runAndKill(t, dir, kind, time.Duration(30+rnd.IntN(150))*time.Millisecond)
			}
			w := mustOpen(t, dir, writerKinds[kind])
			fill(t, w, 10, 5)
			if err := w.Sync(t.Context()); err != nil {
				t.Error(err)
			}
			end := w.NextSeq()
			for deadline := time.Now().Add(30 * time.Second); !t.Failed(); time.Sleep(time.Millisecond) {
				behind := slices.IndexFunc(followers, func(f *follower) bool { return f.seq() != end })
				if behind < 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("%s stands at %d, the archive ends at %d", followers[behind].name, followers[behind].seq(), end)
				}
			}
			cancel()
			wg.Wait()
			mustClose(t, w)
			for _, f := range followers {
				t.Logf("%s: %d records, %d trimmed, epoch %d", f.name, f.read, f.trimmed, f.epoch)
				if f.trimmed > 0 && kind != "trimming" {
					t.Errorf("%s: %d records trimmed", f.name, f.trimmed)
				}
			}
		})
	}
}

// runAndKill runs a writer for a while. It is killed, so its exit says nothing but that.
func runAndKill(t *testing.T, dir, kind string, d time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestWriterProcess$")
	cmd.Env = append(os.Environ(), writerDirEnv+"="+dir, writerKindEnv+"="+kind)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		t.Errorf("the writer ended by itself: %v\n%s", err, out.Bytes())
		return
	case <-time.After(d):
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Errorf("kill: %v", err)
	}
	<-done
}

// follower reads along and checks.
type follower struct {
	name string
	opts ReaderOptions
	slow bool // so that what it wants is trimmed

	mu            sync.Mutex
	next          uint64
	read, trimmed uint64
	epoch         uint64
}

func (f *follower) seq() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

func (f *follower) follow(ctx context.Context, t *testing.T, dir string) {
	r, err := OpenReader(dir, &f.opts)
	if err != nil {
		t.Errorf("%s: %v", f.name, err)
		return
	}
	defer r.Close()
	for {
		rec, err := r.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if f.slow && rec.Seq%500 == 0 {
			time.Sleep(40 * time.Millisecond)
		}
		if err := f.take(rec, r.Epoch(), err); err != nil {
			t.Errorf("%s at %d: %v", f.name, f.seq(), err)
			return
		}
	}
}

// take checks what a reader has given.
func (f *follower) take(rec Record, epoch uint64, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var gap *GapError
	if errors.As(err, &gap) && gap.Trimmed && gap.FirstSeq == f.next && gap.LastSeq >= gap.FirstSeq {
		f.trimmed += gap.LastSeq + 1 - gap.FirstSeq
		f.next = gap.LastSeq + 1
		return nil
	}
	if err != nil {
		return err
	}
	want := testRecord(f.next)
	if rec.Seq != f.next || rec.Time != want.Time || rec.Stream != want.Stream || string(rec.Payload) != string(want.Payload) || epoch < f.epoch {
		return fmt.Errorf("record %d of epoch %d: %.60q", rec.Seq, epoch, rec.Payload)
	}
	f.next++
	f.read++
	f.epoch = epoch
	return nil
}

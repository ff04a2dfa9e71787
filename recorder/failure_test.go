package recorder

import (
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/nexus-logbuf/logbuf/journal"
)

// failing is an archive whose append k takes some of its records and then
// fails, as do all appends behind it.
func failing(k, taken int) *fakeArchive {
	f := new(fakeArchive)
	f.before = func(n int, _ []byte) (int, error) {
		if n < k {
			return 0, nil
		}
		if n > k {
			taken = 0
		}
		return taken, &journal.WriteError{Op: "write", File: "x.lbj", Err: syscall.ENOSPC}
	}
	return f
}

// After a failed write the recorder stands still: producers and waiters get
// the error, what is in the lanes is lost and counted, Close names it.
func TestWriteFailure(t *testing.T) {
	for _, policy := range []Overload{OverloadDrop, OverloadWait, OverloadFail} {
		for _, taken := range []int{0, 3} {
			t.Run(policy.String(), func(t *testing.T) {
				bothKinds(t, func(t *testing.T, shared bool) {
					synctest.Test(t, func(t *testing.T) {
						f, written := failing(2, taken), make(chan struct{})
						fail := f.before
						f.before = func(n int, frames []byte) (int, error) {
							if n >= 2 {
								<-written
							}
							return fail(n, frames)
						}
						r := startFake(t, f, &Options{LaneSize: 1024})
						p := mustProducer(t, r, "a", &ProducerOptions{Overload: policy, Shared: shared})
						for range 2 {
							_, _ = p.Write(make([]byte, 10))
							synctest.Wait()
						}
						open, err := p.TryClaim(1, 0, 10)
						if err != nil {
							t.Fatal(err)
						}
						if !shared {
							open.Abort()
						}
						for range 10 {
							if _, err := p.Write(make([]byte, 10)); err != nil {
								t.Fatal(err)
							}
						}
						if shared {
							open.Abort()
						}
						close(written)
						synctest.Wait()
						checkStopped(t, r, p, 12, 2+taken)
						if err := r.Close(t.Context()); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), `stream "a"`) {
							t.Error("Close:", err)
						}
					})
				})
			})
		}
	}
}

// checkStopped looks at a recorder that has failed after offered records, of
// which the archive has so many.
func checkStopped(t *testing.T, r *Recorder, p *Producer, offered, archived int) {
	t.Helper()
	s := p.Stats()
	lost := uint64(offered - archived)
	if s.Records != uint64(archived) || s.Bytes != uint64(10*archived) || s.Lost != lost || s.LostBytes != 10*lost || s.LagRecords != 0 {
		t.Errorf("stats %+v, want %d records and %d lost", s, archived, lost)
	}
	var e *journal.WriteError
	if _, err := p.Write(make([]byte, 10)); !errors.As(err, &e) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrClosed) {
		t.Error("Write:", err)
	}
	if _, err := p.Claim(t.Context(), 1, 0, 10); !errors.As(err, &e) {
		t.Error("Claim:", err)
	}
	if _, err := r.Producer("b", nil); !errors.As(err, &e) {
		t.Error("Producer:", err)
	}
	want := s
	if p.Overload() == OverloadDrop {
		want.Lost, want.LostBytes = s.Lost+2, s.LostBytes+20
		want.ByReason = []LossCount{{Reason: journal.LossWrite, Records: want.Lost, Bytes: want.LostBytes}}
	} else {
		want.Refused += 2
	}
	if now := p.Stats(); !reflect.DeepEqual(now, want) {
		t.Errorf("stats %+v, want %+v", now, want)
	}
	var n *NotWrittenError
	if err := p.WaitDurable(t.Context()); !errors.As(err, &n) || n.Streams[0].Name != "a" || n.Streams[0].Records != lost || !errors.As(err, &e) {
		t.Error("WaitDurable:", err)
	}
	if err := r.Stats().Err; !errors.As(err, &e) {
		t.Error("Stats().Err:", err)
	}
}

// Callers that wait when the write fails get the error.
func TestWriteFailureReleasesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := new(fakeArchive)
		f.before = func(int, []byte) (int, error) { <-gate; return 0, syscall.EIO }
		r := startFake(t, f, &Options{LaneSize: 1024})
		p := mustProducer(t, r, "a", &ProducerOptions{Overload: OverloadWait, Shared: true})
		taken := fill(t, p)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := p.Write(make([]byte, 40)); !errors.Is(err, syscall.EIO) {
					t.Error("Write:", err)
				}
			})
			wg.Go(func() {
				if err := p.WaitDurable(t.Context()); !errors.Is(err, syscall.EIO) {
					t.Error("WaitDurable:", err)
				}
			})
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		if err := r.Close(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		if s := p.Stats(); s.Lost != uint64(taken) || s.Refused != 4 || s.Records != 0 {
			t.Errorf("stats %+v, %d were in the lane", s, taken)
		}
	})
}

// Writers race with the failure: offered records are archived, lost or refused,
// each exactly once.
func TestWriteFailureDuringWrites(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		for round := range scaled(60) {
			f := failing(round%20, round%3)
			r := startFake(t, f, &Options{LaneSize: 1024})
			const writers = 2
			var offered [writers]uint64
			var ps []*Producer
			var wg sync.WaitGroup
			for i := range writers {
				if !shared || i == 0 {
					ps = append(ps, mustProducer(t, r, string(rune('a'+i)), &ProducerOptions{Overload: Overload(round % 3), Shared: shared}))
				}
			}
			for i := range writers {
				p := ps[i%len(ps)]
				wg.Go(func() {
					for {
						offered[i]++
						if _, err := p.Write(make([]byte, 10)); errors.Is(err, syscall.ENOSPC) {
							return
						}
						if offered[i]%64 == 0 {
							runtime.Gosched() // for a machine with one processor
						}
					}
				})
			}
			wg.Wait()
			if err := r.Close(t.Context()); !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			var want, got uint64
			for _, n := range offered {
				want += n
			}
			for _, p := range ps {
				s := p.Stats()
				got += s.Records + s.Lost + s.Refused
				if s.LagRecords != 0 {
					t.Errorf("lag %d", s.LagRecords)
				}
			}
			var archived uint64
			for _, s := range r.Stats().Streams {
				archived += s.Records
			}
			if got != want || f.NextSeq() != archived {
				t.Fatalf("round %d: offered %d, accounted for %d; %d records in the archive, %d by the counters", round, want, got, f.NextSeq(), archived)
			}
		}
	})
}

// The disk fills up while Close drains the lanes.
func TestWriteFailureWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := new(fakeArchive)
		f.before = func(n int, _ []byte) (int, error) {
			<-gate
			if n == 2 {
				return 1, syscall.ENOSPC
			}
			return 0, nil
		}
		r := startFake(t, f, &Options{LaneSize: 1024})
		p, q := mustProducer(t, r, "a", nil), mustProducer(t, r, "b", nil)
		taken := fill(t, p)
		_, _ = q.Write([]byte("x"))
		result := make(chan error)
		go func() { result <- r.Close(t.Context()) }()
		synctest.Wait()
		close(gate)
		err := <-result
		var lost *NotWrittenError
		if !errors.As(err, &lost) || !errors.Is(err, syscall.ENOSPC) || !f.closed {
			t.Fatal(err)
		}
		s := p.Stats()
		if s.Records == 0 || s.Records+s.Lost != uint64(taken)+1 || s.LagRecords != 0 || q.Stats().Lost != 1 {
			t.Errorf("stats %+v and %+v", s, q.Stats())
		}
		if len(lost.Streams) != 2 || lost.Streams[0] != (StreamLoss{"a", s.Lost - 1, 40 * (s.Lost - 1)}) || lost.Streams[1] != (StreamLoss{"b", 1, 1}) {
			t.Errorf("error names %+v", lost.Streams)
		}
		if n := f.NextSeq(); n != s.Records {
			t.Errorf("%d records in the archive, %d by the counters", n, s.Records)
		}
	})
}

// A call that waits for the memory of a retired lane ends with the recorder.
func TestWriteFailureReleasesProducerCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := new(fakeArchive)
		f.before = func(int, []byte) (int, error) { <-gate; return 0, syscall.EIO }
		r := startFake(t, f, &Options{MemoryLimit: DefaultLaneSize})
		p := mustProducer(t, r, "a", nil)
		_, _ = p.Write([]byte("x"))
		_ = p.Close()
		result := make(chan error)
		go func() {
			_, err := r.Producer("b", nil)
			result <- err
		}()
		synctest.Wait()
		close(gate)
		if err := <-result; !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		if err := r.Close(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
	})
}

func TestErrorTexts(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{ErrClosed, "recorder: closed"},
		{&NotWrittenError{Err: ErrClosed}, "recorder: not everything was written: recorder: closed"},
		{
			&NotWrittenError{Streams: []StreamLoss{{"a", 3, 12}, {"b", 1, 0}}, Err: syscall.ENOSPC},
			`recorder: stream "a": 3 records (12 bytes) not written, stream "b": 1 record not written: ` + syscall.ENOSPC.Error(),
		},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

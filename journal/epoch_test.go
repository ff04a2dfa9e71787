package journal

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// reissued is a record of the second epoch in the tests below.
func reissued(seq uint64) Record {
	return Record{Time: timeOf(seq), Stream: 1, Payload: append(payloadFor(seq), "again"...)}
}

// A follower of what is written has read records that a power cut takes. It is told once, with the sequences, and goes on with the new
// epoch; one of what is durable never sees any of it.
func TestReissue(t *testing.T) {
	for name, rotated := range map[string]bool{"tail cut": false, "segment set aside": true} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			w, err := openStepped(memDir, &Options{Sync: SyncNone, FS: mem})
			if err != nil {
				t.Fatal(err)
			}
			fill(t, w, 20, 4)
			w.stepSync()
			w.stepPrepare()
			end := w.seg.off
			first := filepath.Join(memDir, w.seg.name)
			head := mustRead(t, mem, filepath.Join(memDir, headName))
			fill(t, w, 8, 4)
			total := uint64(28)

			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			open := func(opts ReaderOptions) *Reader {
				opts.FS, opts.Follow, opts.Control = mem, true, true
				r, err := OpenReader(memDir, &opts)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { mustClose(t, r) })
				return r
			}
			written, durable, late := open(ReaderOptions{}), open(ReaderOptions{Durable: true}), open(ReaderOptions{FromSeq: 24})
			nextData(ctx, t, durable, 0, 20)
			second := ""
			if rotated { // un-synced
				w.forceRotate(t)
				second = filepath.Join(memDir, w.seg.name)
				fill(t, w, 5, 1)
				total = 33
			}
			nextData(ctx, t, written, 0, total)
			nextData(ctx, t, late, 24, total)
			waitEmpty(t, durable)

			// The writer dies, and the power cut takes what was not synced. What the readers have open are the same files.
			mustClose(t, w.locks[0])
			mustWrite(t, mem, first, mustRead(t, mem, first)[:end+100])
			mustWrite(t, mem, filepath.Join(memDir, headName), head)
			if rotated {
				mustWrite(t, mem, second, mustRead(t, mem, second)[:segmentHeaderLen+blockHeaderLen])
			}
			w2 := mustOpen(t, memDir, &Options{FS: mem})
			defer w2.Close()
			if w2.NextSeq() != 20 || w2.Recovered().Verdict != Torn {
				t.Fatalf("%+v", w2.Recovered())
			}
			for seq := uint64(20); seq < 40; seq++ {
				if _, err := w2.Append(reissued(seq)); err != nil {
					t.Fatal(err)
				}
			}
			wantReissue(ctx, t, written, &ReissueError{Epoch: 2, Seq: 20, Had: total})
			wantReissue(ctx, t, late, &ReissueError{Epoch: 2, Seq: 24, Had: total})
			wantReissue(ctx, t, durable, nil)
		})
	}
}

// waitEmpty checks that there is nothing to deliver.
func waitEmpty(t *testing.T, r *Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if rec, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%+v, %v; want nothing yet", rec, err)
	}
}

// nextData reads the data records from first up to next, all of epoch 1.
func nextData(ctx context.Context, t *testing.T, r *Reader, first, next uint64) {
	t.Helper()
	for seq := first; seq < next; {
		rec, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("at %d: %v", seq, err)
		}
		if rec.Kind == KindOpen || r.Epoch() != 1 {
			t.Fatalf("kind %#x, epoch %d before the writer's restart", rec.Kind, r.Epoch())
		}
		if rec.Kind < firstControl {
			checkRecord(t, rec, seq)
			seq++
		}
	}
}

// wantReissue reads on into epoch 2: the error, if one is wanted, once, then the open record, then the records from there.
func wantReissue(ctx context.Context, t *testing.T, r *Reader, want *ReissueError) {
	t.Helper()
	rec, err := r.Next(ctx)
	seq := uint64(20)
	if want != nil {
		var got *ReissueError
		if !errors.As(err, &got) || *got != *want || !passing(err) {
			t.Fatalf("%+v, %v; want %v", rec, err, want)
		}
		seq = want.Seq
		rec, err = r.Next(ctx)
	}
	if seq == 20 { // else it begins behind the event
		if err != nil || rec.Kind != KindOpen || rec.Seq != 20 || rec.Time == 0 {
			t.Fatalf("%+v, %v; want an open record", rec, err)
		}
		if epoch, err := ParseOpen(rec.Payload); err != nil || epoch != 2 || r.Epoch() != 2 {
			t.Fatalf("open record says epoch %d, reader %d, %v", epoch, r.Epoch(), err)
		}
		rec, err = r.Next(ctx)
	}
	for ; seq < 40; rec, err = r.Next(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind >= firstControl {
			continue
		}
		if rec.Seq != seq || string(rec.Payload) != string(reissued(seq).Payload) || r.Epoch() != 2 {
			t.Fatalf("record %d %q of epoch %d, want %d of epoch 2", rec.Seq, rec.Payload, r.Epoch(), seq)
		}
		if seq++; seq == 40 {
			return
		}
	}
}

// Without a restart there is no event, with one there is: also for a reader that does not follow, and over epochs without records.
func TestOpenRecords(t *testing.T) {
	mem := manySegments(t, 300) // three opens
	r, err := OpenReader(memDir, &ReaderOptions{FS: mem, Control: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var epochs, seqs []uint64
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind == KindOpen {
			epoch, err := ParseOpen(rec.Payload)
			if err != nil || r.Epoch() != epoch || rec.Stream != 0 {
				t.Fatalf("%+v, %v, epoch %d", rec, err, r.Epoch())
			}
			epochs, seqs = append(epochs, epoch), append(seqs, rec.Seq)
		}
	}
	if len(epochs) != 2 || epochs[0] != 2 || epochs[1] != 3 || seqs[0] != 150 || seqs[1] != 150 {
		t.Errorf("epochs %v begin at %v", epochs, seqs)
	}
	for _, bad := range [][]byte{nil, make([]byte, 16), {2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 0, 0, 0}} {
		if _, err := ParseOpen(bad); err == nil {
			t.Errorf("% x is taken for an open record", bad)
		}
	}
}

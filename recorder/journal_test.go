package recorder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
	"github.com/nexus-logbuf/logbuf/journal"
)

func mustOpen(t testing.TB, dir string, opts *Options) *Recorder {
	t.Helper()
	r, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// readAll is every record of the archive in dir, control records included, and
// the names of its streams.
func readAll(t testing.TB, dir string) ([]journal.Record, map[string]uint16) {
	t.Helper()
	rd, err := journal.OpenReader(dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	var records []journal.Record
	for rec, err := range rd.All() {
		if err != nil {
			t.Fatal(err)
		}
		rec.Payload = append([]byte(nil), rec.Payload...)
		records = append(records, rec)
	}
	ids := make(map[string]uint16)
	for id, name := range rd.Streams() {
		ids[name] = id
	}
	return records, ids
}

// What the archive holds is what the producers wrote, to the byte, on a disk
// that stalls now and then, and the losses account for the rest.
func TestArchiveEqualsWhatWasWritten(t *testing.T) {
	tests := []struct {
		name string
		opts Options
		slow bool
	}{
		{"interval", Options{}, false},
		{"slow disk", Options{LaneSize: 8 << 10}, true},
		{"slow disk, staged, batch sync", Options{LaneSize: 8 << 10, Stage: true, Journal: journal.Options{Sync: journal.SyncBatch}}, true},
		{"small blocks and segments", Options{Journal: journal.Options{MaxBlock: 4096, SegmentSize: 64 << 10, Sync: journal.SyncNone}}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fault := vfs.NewFault(nil)
			if test.slow {
				fault.Slow(200*time.Microsecond, vfs.OpWrite, vfs.OpSync)
			}
			test.opts.Journal.FS = fault
			dir := t.TempDir()
			r := mustOpen(t, dir, &test.opts)
			const producers = 4
			var offered [producers]int
			var wg sync.WaitGroup
			for i := range producers {
				p := mustProducer(t, r, fmt.Sprint("stream ", i), &ProducerOptions{Overload: Overload(i % 3), Shared: i == 3})
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(3, uint64(i)))
					var buf []byte
					for n := range scaled(1500) {
						buf = record(buf, i, n, rng.IntN(200)*rng.IntN(10))
						_, err := p.Write(buf)
						for p.Overload() == OverloadFail && err != nil {
							time.Sleep(10 * time.Microsecond)
							_, err = p.Write(buf)
						}
						offered[i]++
						if n%500 == 0 {
							if err := p.WaitDurable(context.Background()); err != nil {
								t.Error(err)
							}
						}
					}
					if i%2 == 0 {
						_ = p.Close()
					}
				})
			}
			wg.Wait()
			mustClose(t, r)

			records, ids := readAll(t, dir)
			for i := range producers {
				name := fmt.Sprint("stream ", i)
				got := replay(t, records, ids[name])
				for k, rec := range got.data {
					if writer, number := parse(t, rec.Payload); writer != i || uint64(number) != got.ordinal[k] {
						t.Fatalf("%s: record %d of writer %d stands at ordinal %d", name, number, writer, got.ordinal[k])
					}
				}
				s := streamStats(t, r, name)
				if got.next != uint64(offered[i]) || s.Records != uint64(len(got.data)) || s.Lost != got.lost {
					t.Errorf("%s: offered %d; archive %d records, %d lost; stats %+v", name, offered[i], len(got.data), got.lost, s)
				}
				if Overload(i%3) != OverloadDrop && got.lost > 0 {
					t.Errorf("%s: %d lost under %v", name, got.lost, Overload(i%3))
				}
			}
			rep, err := journal.Verify(dir, nil)
			if err != nil || rep.Verdict != journal.Clean {
				t.Errorf("%+v, %v", rep, err)
			}
		})
	}
}

// A stream keeps its id in a later recorder, and the archive goes on.
func TestReopenArchive(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		r := mustOpen(t, dir, nil)
		p := mustProducer(t, r, "a", nil)
		for n := range 10 {
			if _, err := p.Write(record(nil, round, n, 5)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.WaitDurable(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.Stats(); got.UndurableRecords != 0 || got.Journal.NextSeq != uint64(11*round+10) {
			t.Errorf("stats behind WaitDurable: %+v", got)
		}
		if rec := r.Recovered(); rec.Unclean || rec.NextSeq != uint64(11*round) {
			t.Errorf("recovered %+v", rec)
		}
		for _, name := range []string{"", "\xff"} {
			if _, err := r.Producer(name, nil); err == nil {
				t.Errorf("stream name %q is taken", name)
			}
		}
		if _, err := Open(dir, nil); !errors.Is(err, journal.ErrLocked) {
			t.Error("second recorder:", err)
		}
		if _, err := p.Write(record(nil, round, 10, 5)); err != nil {
			t.Fatal(err)
		}
		mustClose(t, r)
		if err := p.WaitDurable(t.Context()); err != nil {
			t.Error("WaitDurable behind Close:", err)
		}
	}
	records, ids := readAll(t, dir)
	if len(ids) != 1 {
		t.Errorf("streams %v", ids)
	}
	if got := replay(t, records, ids["a"]); len(got.data) != 33 {
		t.Errorf("%d records", len(got.data))
	}
}

// The disk is full from the k-th operation on, for every k, and has space again
// after some more: Open fails, or all that was offered is in the archive, or
// Close, which does not wait for space, says how much is not.
func TestDiskFullAtEveryOperation(t *testing.T) {
	total := diskFullRun(t, -1)
	for k := 0; k < total; k++ {
		diskFullRun(t, k)
	}
	if total < 10 {
		t.Errorf("%d operations; the test proves little", total)
	}
}

// diskFullRun records on a disk that is full for a while from operation k on,
// if k ≥ 0, and returns how many operations there were.
func diskFullRun(t *testing.T, k int) int {
	t.Helper()
	fault := vfs.NewFault(nil)
	fault.SetHook(func(n int, op vfs.Op) vfs.Verdict {
		if k >= 0 && n >= k && n < k+7 {
			return vfs.Verdict{Err: syscall.ENOSPC}
		}
		return vfs.Verdict{}
	})
	dir := t.TempDir()
	r, err := Open(dir, &Options{LaneSize: 4096, Journal: journal.Options{FS: fault, SegmentSize: 64 << 10, Sync: journal.SyncBatch}})
	if err != nil {
		if k < 0 || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("operation %d: Open: %v", k, err)
		}
		return fault.Total()
	}
	durable, offered := 0, uint64(0)
	p, err := r.Producer("a", &ProducerOptions{Overload: OverloadWait})
	if err == nil {
		for n := range 100 {
			offered++
			if _, err = p.Write(record(nil, 0, n, 1000)); err != nil {
				break
			}
			if n%10 == 9 {
				for err = p.WaitDurable(t.Context()); diskFull(err); err = p.WaitDurable(t.Context()) {
					time.Sleep(time.Millisecond)
				}
				if err != nil {
					break
				}
				durable = n + 1
			}
		}
	}
	closeErr := r.Close(t.Context())
	switch {
	case k < 0 && (err != nil || closeErr != nil):
		t.Fatalf("without a fault: %v, %v", err, closeErr)
	case err != nil && !errors.Is(err, syscall.ENOSPC), closeErr != nil && !errors.Is(closeErr, syscall.ENOSPC):
		t.Fatalf("operation %d: %v; Close: %v", k, err, closeErr)
	}
	fault.SetHook(nil)
	if p == nil {
		return fault.Total()
	}
	if s := p.Stats(); s.Records+s.Lost+s.Refused != offered || s.LagRecords != 0 {
		t.Fatalf("operation %d: offered %d, stats %+v", k, offered, s)
	}
	if durable > 0 {
		records, ids := readAll(t, dir)
		if got := replay(t, records, ids["a"]); len(got.data) < durable {
			t.Fatalf("operation %d: %d records were durable, %d are there", k, durable, len(got.data))
		}
	}
	return fault.Total()
}

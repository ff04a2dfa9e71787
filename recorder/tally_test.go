package recorder

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nexus-logbuf/logbuf/journal"
)

// byReason is what the archive says is lost, as Stats shows it.
func (r *replayed) byReason() (counts []LossCount) {
	var sum [reasons]LossCount
	for _, l := range r.losses {
		s := &sum[l.Reason]
		s.Reason = l.Reason
		s.Records += l.Records
		s.Bytes += l.Bytes
		if l.Records == 0 {
			s.Gaps++
		}
	}
	for _, s := range sum {
		if s.Reason != 0 {
			counts = append(counts, s)
		}
	}
	return counts
}

// checkSums compares the totals of a snapshot with its counts by reason.
func checkSums(t testing.TB, s ProducerStats) {
	t.Helper()
	var sum LossCount
	for i, c := range s.ByReason {
		sum.Records += c.Records
		sum.Bytes += c.Bytes
		sum.Gaps += c.Gaps
		if c.Records == 0 && c.Bytes == 0 && c.Gaps == 0 || i > 0 && c.Reason <= s.ByReason[i-1].Reason {
			t.Errorf("by reason: %+v", s.ByReason)
		}
	}
	if sum != (LossCount{Records: s.Lost, Bytes: s.LostBytes, Gaps: s.Gaps}) {
		t.Errorf("stats %+v; by reason it is %+v", s, sum)
	}
}

// Every way to lose a record has its reason, in the producer's counters, the
// stream's and the archive.
func TestLossesByReason(t *testing.T) {
	bothKinds(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			f, release := stalled()
			r := startFake(t, f, &Options{LaneSize: 1024})
			p := mustProducer(t, r, "a", &ProducerOptions{Shared: shared})
			fill(t, p)                                    // loses one record of 40 bytes
			_, _ = p.Write(make([]byte, 2000))            // too large
			p.Lose(7, 70, journal.LossSource)             // known
			p.LoseBetween(0, 5, journal.LossSource, 1, 2) // unknown
			p.Lose(0, 0, journal.LossDamage)              // a caller's own business
			release()
			synctest.Wait()
			late := mustClaim(t, p, 9)
			_ = p.Close()
			synctest.Wait() // the archiver has let go of the lane
			late.Commit()
			mustClose(t, r)
			want := []LossCount{
				{Reason: journal.LossOverload, Records: 1, Bytes: 40},
				{Reason: journal.LossTooLarge, Records: 1, Bytes: 2000},
				{Reason: journal.LossClosed, Records: 1, Bytes: 9},
				{Reason: journal.LossSource, Records: 7, Bytes: 75, Gaps: 1},
				{Reason: journal.LossDamage, Gaps: 1},
			}
			stream := streamStats(t, r, "a").ProducerStats
			for _, s := range []ProducerStats{p.Stats(), stream} {
				checkSums(t, s)
				if !reflect.DeepEqual(s.ByReason, want) {
					t.Errorf("by reason %+v, want %+v", s.ByReason, want)
				}
			}
			if got := replay(t, f.all(), 1).byReason(); !reflect.DeepEqual(got, want) {
				t.Errorf("the archive says %+v, want %+v", got, want)
			}
		})
	})
}

// A batch that a full disk refuses at Close has losses among its records: each
// keeps its reason.
func TestRefusedBatchKeepsReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFullDisk()
		f.room.Store(3 * 64) // the loss records that are due, and not the batch
		r := startFake(t, &f.fakeArchive, nil)
		p := mustProducer(t, r, "a", nil)
		mustWrite(t, p, "0")
		synctest.Wait()
		f.full.Store(true)
		p.Lose(2, 20, journal.LossTooLarge)
		p.LoseBetween(0, 0, journal.LossSource, 1, 2)
		_, _ = p.Write(make([]byte, 100))
		synctest.Wait()
		if err := r.Close(t.Context()); err == nil {
			t.Error("Close on a full disk: nil")
		}
		s := p.Stats()
		checkSums(t, s)
		want := []LossCount{
			{Reason: journal.LossTooLarge, Records: 2, Bytes: 20},
			{Reason: journal.LossSource, Gaps: 1},
			{Reason: journal.LossWrite, Records: 1, Bytes: 100},
		}
		if got := replay(t, f.all(), 1).byReason(); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(s.ByReason, want) {
			t.Errorf("archive %+v, stats %+v, want %+v", got, s.ByReason, want)
		}
	})
}

func TestLossReasonInJSON(t *testing.T) {
	for _, reason := range []journal.LossReason{journal.LossTooLarge, 200} {
		want := LossCount{Reason: reason, Records: 1}
		b, err := json.Marshal(want)
		if err != nil || !strings.Contains(string(b), `"`+reason.String()+`"`) {
			t.Errorf("%s, %v", b, err)
		}
		var got LossCount
		if err := json.Unmarshal(b, &got); err != nil || got != want {
			t.Errorf("%s is %+v, %v", b, got, err)
		}
	}
	var reason journal.LossReason
	if err := reason.UnmarshalText([]byte("too small")); err == nil {
		t.Error("an unknown word is taken")
	}
}

func TestLoseRefusesAnUnknownReason(t *testing.T) {
	r := startFake(t, new(fakeArchive), nil)
	defer mustClose(t, r)
	p := mustProducer(t, r, "a", nil)
	for _, reason := range []journal.LossReason{0, reasons, 255} {
		func() {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, "must be 1 to 7") {
					t.Errorf("reason %d: panic %q", reason, got)
				}
			}()
			p.Lose(1, 1, reason)
		}()
	}
}

package journal

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// What was written and synced is in the histograms.
func TestStatsLatencies(t *testing.T) {
	w, err := Open(t.TempDir(), &Options{Sync: SyncNone})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for range 10 {
		if _, err := w.Append(Record{Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := w.Stats()
	if got := st.WriteLatency.Count(); got != st.Blocks || got != 10 || st.WriteLatency.Sum == 0 {
		t.Errorf("%d writes took %d ns in all, %d blocks were written", got, st.WriteLatency.Sum, st.Blocks)
	}
	if got := st.SyncLatency.Count(); got != st.Syncs || got == 0 || time.Duration(st.SyncLatency.Max) != st.MaxSync {
		t.Errorf("%d syncs of up to %v in the histogram; %d, %v", got, time.Duration(st.SyncLatency.Max), st.Syncs, st.MaxSync)
	}
}

func TestStatsJSON(t *testing.T) {
	for _, tc := range []struct {
		name       string
		s          Stats
		has, lacks []string
	}{
		{"all is well", Stats{NextSeq: 7, Lag: 1500 * time.Microsecond}, []string{`"NextSeq":7`, `"Lag":1500000`}, []string{"Err\":\"", "Full\"", "FullSince", "DiskAt"}},
		{"errors are text", Stats{
			Err: errors.New("write a: gone"), KeepErr: ErrHeld, Full: &WriteError{Op: "write", File: "f", Err: errors.New("full")},
			FullSince: time.Unix(0, 0).UTC(), WriteLatency: histogramOf(5),
		}, []string{`"Err":"write a: gone"`, `"KeepErr":"` + ErrHeld.Error() + `"`, `"Full":"`, `"FullSince":"1970-01-01T00:00:00Z"`, `"WriteLatency":{"count":1,`}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := json.Marshal(tc.s)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tc.has {
				if !strings.Contains(string(b), want) {
					t.Errorf("no %s in %s", want, b)
				}
			}
			for _, no := range tc.lacks {
				if strings.Contains(string(b), no) {
					t.Errorf("%s in %s", no, b)
				}
			}
		})
	}
}

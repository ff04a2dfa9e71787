package recorder

import "testing"

// A lane that has a batch and more asks the journal how long the batch should be, and keeps to that; one that has less does not.
func TestBatchesAreFitted(t *testing.T) {
	for _, tc := range []struct {
		name    string
		records int // of 64 bytes of the lane each
		fit     int
		want    []int // bytes of the batches
	}{
		{"half a batch", 8, 512, []int{512}},
		{"a batch", 16, 512, []int{512, 512}},
		{"three batches", 48, 704, []int{704, 704, 704, 960}},
		{"no wish", 48, 1024, []int{1024, 1024, 1024}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := 0
			var got []int
			f := &fakeArchive{
				fit: func(most int) int {
					if asked++; most != 1024 {
						t.Errorf("Fit(%d), want a quarter of the lane", most)
					}
					return tc.fit
				},
				before: func(_ int, frames []byte) (int, error) {
					if !frameIsSkip(frames) && frameIsData(frames) {
						got = append(got, len(frames))
					}
					return 0, nil
				},
			}
			o, _ := (*Options)(nil).withDefaults()
			a := newArchiver(newRecorder(f, o))
			a.rec.clock.look()
			p := mustProducer(t, a.rec, "a", &ProducerOptions{LaneSize: 4 << 10, Overload: OverloadFail})
			for range tc.records {
				if err := p.WriteAt(1, 1, 0, make([]byte, 48)); err != nil {
					t.Fatal(err)
				}
			}
			for a.round() {
			}
			if len(got) != len(tc.want) {
				t.Fatalf("batches of %v bytes, want %v", got, tc.want)
			}
			for i := range got {
				if got[i] != tc.want[i] {
					t.Errorf("batches of %v bytes, want %v", got, tc.want)
				}
			}
			if full := tc.records / 16; full == 0 && asked > 0 || full > 0 && asked == 0 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

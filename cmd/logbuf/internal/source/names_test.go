package source

import "testing"

// Each name is that of one value, and each value has a name.
func TestNames(t *testing.T) {
	for f := Line; f <= Len32LE; f++ {
		if got, err := ParseFrame(f.String()); err != nil || got != f {
			t.Errorf("%v is read as %v, %v", f, got, err)
		}
	}
	for r := OnDrop; r <= Always; r++ {
		if got, err := ParseReconnect(r.String()); err != nil || got != r {
			t.Errorf("%v is read as %v, %v", r, got, err)
		}
	}
}

package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Speed is a flag value: how many seconds of a recording pass in one second. It reads "1x", "10x", "0.5x", the same
// without the x, and "max", which is 0: no pauses.
type Speed float64

// Set implements pflag.Value.
func (s *Speed) Set(text string) error {
	if text == "max" {
		*s = 0
		return nil
	}
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "x"), 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is not a speed: write 1x (as recorded), 10x, 0.5x, or max (no pauses)", text)
	}
	*s = Speed(v)
	return nil
}

// String writes the speed so that Set reads it back.
func (s Speed) String() string {
	if s == 0 {
		return "max"
	}
	return strconv.FormatFloat(float64(s), 'g', -1, 64) + "x"
}

// Type implements pflag.Value; it is the word that help prints.
func (Speed) Type() string { return "speed" }

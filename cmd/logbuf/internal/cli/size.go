package cli

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// Size is a flag value in bytes. It reads "4096", "64KiB" (powers of 1024) and "4MB" (powers of 1000), with or
// without a space and in any case.
type Size int64

// ParseSize reads s as Size does. Negative sizes and sizes above 2^63-1 are errors.
func ParseSize(s string) (Size, error) {
	n, err := humanize.ParseBytes(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: write bytes (65536), or a number and a unit (64KiB, 4MB, 1GiB)", s)
	}
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("size %q is above %d bytes", s, int64(math.MaxInt64))
	}
	return Size(n), nil
}

// Set implements pflag.Value.
func (s *Size) Set(text string) error {
	n, err := ParseSize(text)
	if err != nil {
		return err
	}
	*s = n
	return nil
}

// String writes the size so that Set reads the same number back: exact multiples of 1024 with a unit, plain bytes
// otherwise.
func (s Size) String() string {
	units := []string{"GiB", "MiB", "KiB"}
	for i, unit := range units {
		shift := 30 - 10*i
		if s >= 1<<shift && s%(1<<shift) == 0 {
			return fmt.Sprintf("%d%s", int64(s>>shift), unit)
		}
	}
	return fmt.Sprint(int64(s))
}

// Type implements pflag.Value; it is the word that help prints.
func (Size) Type() string { return "size" }

package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"
)

// symbols that the simulated market trades.
var symbols = []string{"ABC", "DEF", "GHI", "JKL"}

// feed offers quotes of a random walk to the service, rate a second in bursts
// every 5 ms, until ctx ends.
func feed(ctx context.Context, s *Service, rate int) error {
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	mid := []int64{1000, 2000, 500, 750}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var buf []byte
	for due := 0.0; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		for due += float64(rate) / 200; due >= 1; due-- {
			i := rng.IntN(len(symbols))
			mid[i] = max(100, mid[i]+rng.Int64N(3)-1)
			buf = append(append(buf[:0], symbols[i]...), ' ')
			buf = append(strconv.AppendInt(buf, mid[i]-1, 10), ' ')
			buf = strconv.AppendInt(buf, mid[i]+1, 10)
			if err := s.Quote(buf); err != nil {
				return err
			}
		}
	}
}

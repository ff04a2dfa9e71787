package queue

import (
	"runtime"
	"testing"
)

// A consumer that sleeps on a channel of one token finds every record, if the
// producer calls Fence between the record and the send. Without it, this hangs,
// though seldom.
func TestFence(t *testing.T) {
	const records = 100_000
	wakes := func(write func() error, fence func(), c *Consumer, end func() error) {
		token := make(chan struct{}, 1)
		go func() {
			for range records {
				for write() == ErrFull {
					runtime.Gosched()
				}
				fence()
				select {
				case token <- struct{}{}:
				default:
				}
			}
			_ = end()
			close(token)
		}()
		got := 0
		for range token {
			for c.Drain(16, func(int32, []byte) { got++ }) > 0 {
			}
		}
		for c.Drain(16, func(int32, []byte) { got++ }) > 0 {
		}
		if got != records {
			t.Errorf("%d of %d records", got, records)
		}
	}
	rec := make([]byte, 8)
	t.Run("Producer", func(t *testing.T) {
		p, c, _ := NewSPSC(1 << 10)
		wakes(func() error { return p.WriteTyped(1, rec) }, p.Fence, c, p.Close)
	})
	t.Run("FanOut", func(t *testing.T) {
		f, cs, _ := NewFanOut(1, 1<<10)
		wakes(func() error { return f.SendNext(1, rec) }, f.Fence, cs[0], f.Close)
	})
}

package cli

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
)

func TestFirstAndSecondSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals, done := make(chan os.Signal, 2), make(chan struct{})
		var calls []string
		note := func(name string) func() { return func() { calls = append(calls, name) } }
		go watchSignals(signals, done, note("first"), note("second"))
		expect := func(want int) {
			t.Helper()
			synctest.Wait()
			if len(calls) != want {
				t.Errorf("calls %q, want %d", calls, want)
			}
		}
		expect(0)
		signals <- os.Interrupt
		expect(1)
		signals <- syscall.SIGHUP // the terminal's second, or a late one
		expect(1)
		signals <- os.Interrupt
		expect(2)
	})
}

func TestStopEndsTheWatch(t *testing.T) {
	ctx, again, stop := Interruptible(t.Context())
	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}
	stop()
	stop()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrInterrupted) {
		t.Errorf("after stop the cause is %v", err)
	}
	select {
	case <-again:
		t.Error("stop counts as a second signal")
	default:
	}
}

package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// ErrInterrupted is the cause of a context that Ctrl-C or a termination signal ended.
var ErrInterrupted = errors.New("interrupted")

// Interruptible makes a context that the first SIGINT, SIGTERM or SIGHUP cancels (cause: ErrInterrupted), and a channel
// that the second closes: a command that drains after the first must let go at the second. SIGHUP is never the second: a
// terminal that goes may send it twice, once from the kernel and once from the shell. Where it was ignored when the
// process began, as under nohup, it still is. stop gives the signals back to their default action and waits for nothing;
// call it when the command is over, or earlier, as often as you like.
func Interruptible(parent context.Context) (ctx context.Context, again <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	wanted := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		wanted = append(wanted, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, wanted...)
	second := make(chan struct{})
	done := make(chan struct{})
	go watchSignals(signals, done, func() { cancel(ErrInterrupted) }, func() { close(second) })
	return ctx, second, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(done)
		cancel(context.Canceled)
	})
}

// watchSignals calls first and then second, each at most once, and returns when both are called or done is closed.
func watchSignals(signals <-chan os.Signal, done <-chan struct{}, first, second func()) {
	for called := false; ; {
		select {
		case sig := <-signals:
			switch {
			case !called:
				called = true
				first()
			case sig != syscall.SIGHUP:
				second()
				return
			}
		case <-done:
			return
		}
	}
}

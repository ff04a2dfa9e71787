package channel

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A receiver steps back after a run of records, for as long as the run and
// Linger allow, however the run was received; after a lone record it does not.
// Time is synctest's, so that the figures are exact.
func TestLinger(t *testing.T) {
	const (
		burst = 20_000 // 20 ns for each but one are less than 400 µs
		sent  = 100 * time.Microsecond
	)
	drain := func(rx *Receiver) { rx.Drain(burst, func(int32, []byte) {}) }
	peek := func(rx *Receiver) {
		for n := 0; n < burst; {
			n += rx.Peek(1 << 20).Records()
		}
		rx.Release()
	}
	next := func(recv func(rx *Receiver)) func(rx *Receiver) {
		return func(rx *Receiver) {
			for range burst {
				recv(rx)
			}
		}
	}
	recv := next(func(rx *Receiver) { rx.Recv(t.Context()) })
	for _, tt := range []struct {
		name    string
		linger  time.Duration
		receive func(*Receiver) // the burst; nil: there is none
		wait    func(*Receiver) error
		want    time.Duration // until the record that is sent after 100 µs is received
	}{
		{"longer than the run", time.Millisecond, recv, nil, (burst - 1) * lingerPerRecord},
		{"bounded", 300 * time.Microsecond, recv, nil, 300 * time.Microsecond},
		{"Drain", 300 * time.Microsecond, drain, nil, 300 * time.Microsecond},
		{"Peek", 300 * time.Microsecond, peek, nil, 300 * time.Microsecond},
		{"TryRecv", 300 * time.Microsecond, next(func(rx *Receiver) { rx.TryRecv() }), nil, 300 * time.Microsecond},
		{"the default spins", 0, recv, nil, sent},
		{"none", -1, recv, nil, sent},
		{"a lone record", time.Millisecond, nil, nil, sent},
		{"until the deadline", time.Millisecond, drain, func(rx *Receiver) error {
			_, err := rx.RecvTimeout(2 * sent)
			return err
		}, 2 * sent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tx, rx, err := NewSPSC(1<<20, &Options{Linger: tt.linger})
				if err != nil {
					t.Fatal(err)
				}
				wait := tt.wait
				if wait == nil {
					wait = func(rx *Receiver) error {
						_, err := rx.Recv(t.Context())
						return err
					}
				}
				after := func(want time.Duration) {
					t.Helper()
					start, done := time.Now(), make(chan struct{})
					go func() {
						defer close(done) // hands the sender back
						time.Sleep(sent)
						tx.TrySend([]byte("next"))
					}()
					if err := wait(rx); err != nil || time.Since(start) != want {
						t.Errorf("received after %v, %v; want %v", time.Since(start), err, want)
					}
					<-done
				}
				if tt.receive != nil {
					for range burst {
						if err := tx.TrySend([]byte("burst")); err != nil {
							t.Fatal(err)
						}
					}
					tt.receive(rx)
					after(tt.want)
				}
				after(sent) // the run is over
				after(sent)
			})
		})
	}
}

func TestLingerLimit(t *testing.T) {
	if _, _, err := NewSPSC(64, &Options{Linger: time.Millisecond + 1}); err == nil || !strings.Contains(err.Error(), "1.000001ms") {
		t.Errorf("error %v", err)
	}
	if _, _, err := NewSPSC(64, &Options{Linger: time.Millisecond}); err != nil {
		t.Error(err)
	}
}

// Having found the end, a receiver steps back without a look whether one more
// record has come. It does not while it is behind, or where none can come.
func TestLingerWithoutALook(t *testing.T) {
	const burst, linger = 20_000, 300 * time.Microsecond
	drain := func(limit int) func(*Receiver) {
		return func(rx *Receiver) { rx.Drain(limit, func(int32, []byte) {}) }
	}
	peek := func(limit int) func(*Receiver) {
		return func(rx *Receiver) { rx.ReleaseTo(rx.Peek(limit).End()) }
	}
	for _, tt := range []struct {
		name    string
		receive func(*Receiver)
		want    time.Duration
	}{
		{"Drain to the end", drain(burst + 1), linger},
		{"Drain to its limit", drain(burst), 0},
		{"Peek to the end", peek(1 << 20), linger},
		{"Peek to its limit", peek(100_000), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tx, rx, err := NewSPSC(1<<20, &Options{Linger: linger})
				if err != nil {
					t.Fatal(err)
				}
				send := func(n int) {
					for range n {
						if err := tx.TrySend([]byte("burst")); err != nil {
							t.Fatal(err)
						}
					}
				}
				send(burst)
				tt.receive(rx)
				send(1)
				start := time.Now()
				if err := rx.Wait(t.Context()); err != nil || time.Since(start) != tt.want {
					t.Errorf("after %v, %v; want %v", time.Since(start), err, tt.want)
				}
				drain(burst)(rx)
				send(burst)
				tx.Close()
				drain(burst + 1)(rx)
				start = time.Now()
				if err := rx.Wait(t.Context()); err != io.EOF || time.Since(start) != 0 {
					t.Errorf("at the end after %v, %v", time.Since(start), err)
				}
			})
		})
	}
}

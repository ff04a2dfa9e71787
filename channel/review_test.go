package channel

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// E1: receivers that poll.
func TestPollingPassesStalledClaims(t *testing.T) {
	for _, how := range []string{"TryRecv", "RecvTimeout 0", "RecvTimeout 1ns", "Drain", "Peek"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tx, rx, _ := NewMPSC(1024, &Options{StallLimit: time.Millisecond})
				leaked, _ := tx.TryClaim(8)
				tx.TrySend([]byte("behind"))
				for range 200 {
					var ok bool
					switch how {
					case "TryRecv":
						_, ok = rx.TryRecv()
					case "RecvTimeout 0", "RecvTimeout 1ns":
						d := time.Duration(0)
						if how == "RecvTimeout 1ns" {
							d = 1
						}
						_, err := rx.RecvTimeout(d)
						ok = !errors.Is(err, os.ErrDeadlineExceeded)
					case "Drain":
						ok = rx.Drain(10, func(int32, []byte) {}) > 0
					case "Peek":
						ok = rx.Peek(100).Records() > 0
					}
					if ok {
						leaked.Abort()
						return
					}
					time.Sleep(time.Millisecond)
				}
				t.Fatal("the claim holds up the record for 200 times the limit")
			})
		})
	}
}

// E2: level 0 always has something; level 1 is held up by a leaked claim.
func TestStalledLevelBehindABusyOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		txs, rx, _ := NewPriority(2, 1024, &Options{StallLimit: time.Millisecond})
		leaked, _ := txs[1].TryClaim(8)
		txs[1].TrySend([]byte("behind"))
		for range 2000 {
			txs[0].TrySend([]byte("urgent"))
			rec, err := rx.Recv(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if string(rec) == "behind" {
				leaked.Abort()
				return
			}
			time.Sleep(time.Millisecond)
		}
		t.Fatal("level 1 is held up for 2000 times the limit")
	})
}

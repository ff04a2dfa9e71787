package main

import (
	"context"
	"log"
	"os"
	"strconv"
	"strings"
	"testing"
)

// dieEnv is "STEP N": a service dies in the Nth of these steps of writing
// snapshots, from 1.
const dieEnv = "EVENTSOURCING_DIE"

// TestMain lets this binary be the service that the tests start and kill.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	if at := os.Getenv(dieEnv); at != "" {
		i := strings.LastIndexByte(at, ' ')
		n, err := strconv.Atoi(at[i+1:])
		if err != nil {
			log.Fatal(err)
		}
		snapshotStep = func(step string) {
			if step != at[:i] {
				return
			}
			if n--; n == 0 {
				self, err := os.FindProcess(os.Getpid())
				if err == nil {
					err = self.Kill()
				}
				if err != nil {
					log.Fatal(err)
				}
				select {}
			}
		}
	}
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func TestDemo(t *testing.T) {
	if err := demo(context.Background()); err != nil {
		t.Error(err)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"

	"github.com/nexus-logbuf/logbuf/journal"
)

const (
	demoClients = 4
	demoOrders  = 250 // of each client
	demoKill    = 400 // acknowledgements after which the service is killed
)

// demo runs the service in a process of its own, kills it while clients wait
// for acknowledgements, starts it again, and compares what it then knows with
// what the clients know and with what the journal says from its beginning.
func demo(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "eventsourcing")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args := []string{"-dir", dir, "-feed", "20000", "-quote-lane", "2048", "-snapshot-every", "700"}
	p, err := startProcess(os.Stderr, nil, args...)
	if err != nil {
		return err
	}
	fmt.Printf("a service with 20 000 quotes a second; %d clients send %d orders each\n", demoClients, demoOrders)

	d := &demonstration{killed: make(chan struct{}), again: make(chan struct{}), acks: make(map[string]string)}
	var clients sync.WaitGroup
	var failed atomic.Pointer[error]
	for i := range demoClients {
		clients.Go(func() {
			if err := d.client(i, p.addr); err != nil {
				failed.Store(&err)
			}
		})
	}
	select {
	case <-d.killed:
	case <-ctx.Done():
		p.kill()
		return ctx.Err()
	}
	p.kill()
	fmt.Printf("killed (SIGKILL) with %d orders acknowledged\n", d.acked())
	if p, err = startProcess(os.Stderr, nil, args...); err != nil {
		return err
	}
	defer func() { p.kill() }()
	fmt.Printf("started again: %s\n", p.rebuilt)
	d.addr = p.addr
	close(d.again)
	clients.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	fmt.Printf("%d orders acknowledged, %d of them sent again\n", d.acked(), d.resent)
	if code := p.interrupt(); code != 0 {
		return fmt.Errorf("the service has ended with status %d", code)
	}
	if p, err = startProcess(os.Stderr, nil, "-dir", dir, "-feed", "0"); err != nil {
		return err
	}
	fmt.Printf("ended in good order and started a last time: %s\n", p.rebuilt)
	return d.compare(p.addr, journalDir(dir))
}

// demonstration is what the clients of a demo share.
type demonstration struct {
	killed, again chan struct{} // closed when it is time to kill; when addr is the new service's
	addr          string

	mu     sync.Mutex
	acks   map[string]string // results by id
	resent int
	once   sync.Once
}

func (d *demonstration) acked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.acks)
}

// client sends orders one after another, and those that the old service has not
// acknowledged again to the new one.
func (d *demonstration) client(i int, addr string) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	for n := range demoOrders {
		id := fmt.Sprintf("c%d-%d", i, n)
		line := fmt.Sprintf("order %s %s %d %d", id, symbols[rng.IntN(len(symbols))], rng.Int64N(41)-20|1, 400+rng.Int64N(2000))
		result, err := c.do(line)
		again := err != nil
		if again {
			c.close()
			<-d.again
			if c, err = dial(d.addr); err != nil {
				return err
			}
			if result, err = c.do(line); err != nil {
				return err
			}
		}
		d.mu.Lock()
		d.acks[id] = result
		if again {
			d.resent++
		}
		if len(d.acks) == demoKill {
			d.once.Do(func() { close(d.killed) })
		}
		d.mu.Unlock()
	}
	c.close()
	return nil
}

// compare asks the service for what it knows.
func (d *demonstration) compare(addr, journalDir string) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.close()
	results := make(map[string]int)
	for id, result := range d.acks {
		answer, err := c.ask("status " + id)
		if want := "known " + id + " " + result; err != nil || answer != want {
			return fmt.Errorf("the service says %q of an order that was acknowledged as %q (%v)", answer, result, err)
		}
		results[result]++
	}
	fmt.Printf("every acknowledged order is known: %v\n", results)
	have, err := c.ask("dump")
	if err != nil {
		return err
	}
	whole, err := replay(journalDir, &journal.ReaderOptions{Control: true})
	if err != nil {
		return err
	}
	want, err := json.Marshal(whole)
	if err != nil {
		return err
	}
	if !bytes.Equal([]byte("state "+string(want)), []byte(have)) {
		return fmt.Errorf("the service's state is\n%s\nand the journal's\n%s", have, want)
	}
	fmt.Printf("state from snapshot and tail = state from the whole journal, %d records: %d commands, %d quotes, %d of those lost and known to be\n",
		whole.Seq, whole.Commands, whole.Quotes, whole.LostQuotes)
	return nil
}

// replay is the state after the whole journal, without snapshots.
func replay(dir string, opts *journal.ReaderOptions) (*State, error) {
	r, err := journal.OpenReader(dir, opts)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s := newState()
	for {
		rec, err := r.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		var gap *journal.GapError
		switch {
		case errors.As(err, &gap) && !gap.Trimmed:
			s.Skip(gap.Gap)
			continue
		case err == nil:
			_, err = s.Apply(rec, r.StreamName(rec.Stream))
		}
		if err != nil {
			return nil, err
		}
	}
}

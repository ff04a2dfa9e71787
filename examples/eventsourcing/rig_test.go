package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
)

// rig is a service that is started and killed again and again in one directory,
// and what its clients know.
type rig struct {
	dir    string
	rng    *rand.Rand
	model  *model
	cursor *journal.Cursor // holds the journal for the model

	mu     sync.Mutex
	acked  map[string]string // results by id
	lines  map[string]string // what was sent, by id
	unsure [][]string        // of each client, what it has sent and has no answer to
	next   int               // number of the next id
	resent int
	shots  int // checks whose service began with a snapshot
}

const rigClients = 3

// testSeed is the seed of a test's random numbers, from LOGBUF_SOAK_SEED if
// that is set.
func testSeed(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("LOGBUF_SOAK_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LOGBUF_SOAK_SEED=%d", seed)
	return seed
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{
		dir: t.TempDir(), rng: rand.New(rand.NewPCG(testSeed(t), 0)), model: newModel(),
		acked: map[string]string{}, lines: map[string]string{}, unsure: make([][]string, rigClients),
	}
	w, err := journal.Open(g.journal(), nil) // so that there is one to have a cursor in
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		g.cursor, err = journal.OpenCursor(g.journal(), "model", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) journal() string { return filepath.Join(g.dir, "journal") }

// start starts a service on the rig's directory.
func (g *rig) start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p, err := startProcess(os.Stderr, env, append([]string{"-dir", g.dir}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// trade has clients send commands until the service is gone.
func (g *rig) trade(t *testing.T, addr string) (done *sync.WaitGroup) {
	done = new(sync.WaitGroup)
	for i := range rigClients {
		rng := rand.New(rand.NewPCG(g.rng.Uint64(), uint64(i)))
		done.Go(func() { g.client(t, addr, i, rng) })
	}
	return done
}

// client sends first what it has no answer to, most of the time, and then new
// commands, each when the one before is acknowledged.
func (g *rig) client(t *testing.T, addr string, i int, rng *rand.Rand) {
	c, err := dial(addr)
	if err != nil {
		return // killed already
	}
	defer c.close()
	again := g.unsure[i]
	g.unsure[i] = nil
	for {
		var line string
		switch {
		case len(again) > 0 && rng.IntN(10) == 0:
			again = again[1:] // never sent again: it may count or not
			continue
		case len(again) > 0:
			line, again = again[0], again[1:]
		case rng.IntN(20) == 0:
			line = g.known(rng) // sent again although it was acknowledged
		}
		if line == "" {
			line = g.command(rng)
		}
		result, err := c.do(line)
		if err != nil {
			g.unsure[i] = append(again, line)
			return
		}
		g.ack(t, line, result)
	}
}

// command makes a new one.
func (g *rig) command(rng *rand.Rand) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := strconv.Itoa(g.next)
	g.next++
	symbol := append(symbols, "XYZ")[rng.IntN(len(symbols)+1)] // no quotes of XYZ
	line := fmt.Sprintf("order %s %s %d %d", id, symbol, rng.IntN(2001)-1000|1, 1+rng.IntN(4000))
	switch rng.IntN(40) {
	case 0:
		line = fmt.Sprintf("halt %s %s", id, symbol)
	case 1, 2:
		line = fmt.Sprintf("resume %s %s", id, symbol)
	case 3:
		line = fmt.Sprintf("limit %s %s %d", id, symbol, rng.IntN(20000))
	}
	g.lines[id] = line
	return line
}

// known is a command that was acknowledged, or nothing.
func (g *rig) known(rng *rand.Rand) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == 0 {
		return ""
	}
	id := strconv.Itoa(rng.IntN(g.next))
	if _, ok := g.acked[id]; !ok || g.forgotten(id) {
		return ""
	}
	return g.lines[id]
}

// forgotten says of an id that it may be behind the service's window.
func (g *rig) forgotten(id string) bool {
	n, _ := strconv.Atoi(id)
	return g.next-n > idWindow/2
}

func (g *rig) ack(t *testing.T, line, result string) {
	var id string
	_, _ = fmt.Sscanf(line, "%s %s", new(string), &id)
	g.mu.Lock()
	defer g.mu.Unlock()
	if before, ok := g.acked[id]; ok {
		g.resent++
		if before != result {
			t.Errorf("%q was acknowledged as %q, and now as %q", line, before, result)
		}
	}
	g.acked[id] = result
}

// check compares, after the service was killed, what the clients know with the
// journal, and what a service makes of the directory with the model.
func (g *rig) check(t *testing.T) {
	t.Helper()
	g.model.read(t, g.journal())
	for id, result := range g.acked {
		if n := g.model.times[id]; n != 1 || g.model.results[id] != result {
			t.Errorf("command %s was acknowledged as %q: it is in the journal %d times, as %q", id, result, n, g.model.results[id])
		}
	}
	for id, n := range g.model.times {
		if n != 1 || g.lines[id] == "" {
			t.Errorf("command %s is in the journal %d times, and was sent as %q", id, n, g.lines[id])
		}
	}
	if err := g.cursor.Save(g.model.next, 0); err != nil {
		t.Fatal(err)
	}
	p := g.start(t, nil, "-feed", "0")
	defer p.kill()
	if strings.HasPrefix(p.rebuilt, "snapshot of ") {
		g.shots++
	}
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	dump, err := c.ask("dump")
	if err != nil {
		t.Fatal(err)
	}
	g.model.compare(t, dump)
	asked := 0
	for id := range g.lines {
		if g.forgotten(id) {
			continue
		}
		if asked++; asked > 2000 {
			break
		}
		want := "unknown " + id
		if result, ok := g.model.results[id]; ok {
			want = "known " + id + " " + result
		}
		if got, err := c.ask("status " + id); err != nil || got != want {
			t.Fatalf("%q, want %q (%v)", got, want, err)
		}
	}
}

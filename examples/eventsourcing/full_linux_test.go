package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// On a full disk acknowledgements wait, and go on when there is space; what was
// lost meanwhile is market data, and the state knows.
func TestFullDisk(t *testing.T) {
	g := newRig(t)
	g.dir = t.TempDir()
	if err := syscall.Mount("tmpfs", g.dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("this machine does not let a test mount a disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(g.dir, syscall.MNT_DETACH) })
	ballast := filepath.Join(g.dir, "ballast")
	p := g.start(t, nil, "-feed", "50000", "-quote-lane", "4096", "-segment-size", "65536", "-snapshot-every", "0")
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	order := func(id, line string) chan string {
		g.lines[id] = line
		answer := make(chan string, 1)
		go func() {
			result, err := c.do(line)
			if err != nil {
				result = err.Error()
			}
			answer <- result
		}()
		return answer
	}
	if g.acked["1"] = <-order("1", "order 1 XYZ 1 1"); g.acked["1"] != "filled" {
		t.Fatal(g.acked)
	}
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil { // the service eats, too
		_, err = f.Write(make([]byte, 4096))
	}
	time.Sleep(100 * time.Millisecond) // it writes on into what is left of its last page
	waiting := order("2", "order 2 XYZ 1 1")
	select {
	case result := <-waiting:
		t.Logf("there was room for it: %q", result)
		g.acked["2"] = result
		waiting = nil
	case <-time.After(200 * time.Millisecond):
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if waiting != nil {
		g.acked["2"] = <-waiting
	}
	g.acked["3"] = <-order("3", "order 3 XYZ 1 1")
	p.kill()
	g.check(t)
	if g.model.lost == 0 {
		t.Error("no quotes were lost")
	}
	t.Logf("%d quotes, %d lost", g.model.quotes, g.model.lost)
}

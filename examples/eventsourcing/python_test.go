package main

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// A client in Python, which shares nothing with this program but the protocol,
// keeps its own books in SQLite while the service is killed under it.
func TestClientInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("LOGBUF_REQUIRE_PYTHON") != "" {
			t.Fatal("LOGBUF_REQUIRE_PYTHON is set, and there is no python3")
		}
		t.Skip("no python3: the other client is not tried")
	}
	commands := 500
	if os.Getenv("LOGBUF_SOAK") != "" {
		commands = 5000
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/client.py", fmt.Sprint(testSeed(t)), fmt.Sprint(commands), t.TempDir(), self)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

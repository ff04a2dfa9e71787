package recorder

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A panic in the archiver ends the program and is not swallowed.
func TestArchiverPanicEndsTheProgram(t *testing.T) {
	if os.Getenv("RECORDER_TEST_PANIC") != "" {
		f := new(fakeArchive)
		f.before = func(int, []byte) (int, error) { panic("a defect of the journal") }
		p := mustProducer(t, startFake(t, f, nil), "a", nil)
		_, _ = p.Write([]byte("x"))
		time.Sleep(time.Minute)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestArchiverPanicEndsTheProgram$")
	cmd.Env = append(os.Environ(), "RECORDER_TEST_PANIC=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: a defect of the journal") {
		t.Errorf("%v, %.300s", err, out)
	}
}

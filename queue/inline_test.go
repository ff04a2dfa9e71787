package queue

import (
	"math/bits"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// inlined is what the compiler must be able to inline, and why it matters. The
// figures are Go's own estimate; a function over its budget of 80 becomes a
// call wherever it is used.
var inlined = []struct{ why, names string }{
	{"each record passes through these several times, and each is a load, a store or some arithmetic",
		"header.committed header.claimed header.skip header.typ header.length header.payload header.stride " +
			"makeHeader makeSkip claimMark align disk " +
			"(*memory).word (*memory).load (*memory).publish (*memory).clear (*memory).bytes " +
			"(*position).load (*position).store (*position).advance " +
			"(*ring).toEnd (*ring).lap (*ring).fits (*ring).room"},
	{"a shared claim asks them in each of its calls", "(*producer).holds (*producer).drop"},
	{"the short forms must cost what the long ones do",
		"(*Producer).TryClaim (*Producer).Write (*SharedProducer).TryClaim (*SharedProducer).Write (*Consumer).Drain"},
	{"accessors, called for each record or span, or polled",
		"(*Consumer).Type (*Consumer).Position (*Consumer).Capacity (*Consumer).Release (*Consumer).Drained " +
			"(*Producer).Position (*Producer).Capacity (*SharedProducer).Capacity Span.Frames Span.Records Span.End"},
}

// inlined64 holds where 64-bit atomics are instructions of the machine. On
// 32-bit machines the compiler counts them as calls.
var inlined64 = []struct{ why, names string }{
	{"each shared record is settled once", "(*memory).settle"},
	{"each shared claim asks whether there is room", "(*ring).roomFor"},
	{"asked whenever nothing is there", "(*ring).ended"},
	{"a handle that counts nothing for itself must find that out without a call", "(*account).committed (*account).passed"},
}

func TestInlining(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	out, err := exec.Command("go", "build", "-gcflags=-m=2", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	can := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m): can inline (\S+) with cost (\d+)`).FindAllStringSubmatch(string(out), -1) {
		can[m[1]] = m[2]
	}
	cannot := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m): cannot inline (\S+): (.*)$`).FindAllStringSubmatch(string(out), -1) {
		cannot[m[1]] = m[2]
	}
	if len(can) == 0 {
		t.Fatalf("the compiler says nothing about inlining:\n%s", out)
	}
	list := inlined
	if bits.UintSize == 64 {
		list = append(list, inlined64...)
	}
	for _, l := range list {
		for name := range strings.FieldsSeq(l.names) {
			switch {
			case cannot[name] != "":
				t.Errorf("%s cannot be inlined: %s\n\t(%s)", name, cannot[name], l.why)
			case can[name] == "":
				t.Errorf("%s is gone: the list in this test needs an update", name)
			}
		}
	}
}

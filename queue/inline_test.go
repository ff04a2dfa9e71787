package queue

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/bits"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// inlined is what the compiler must be able to inline, and why it matters. The
// figures are Go's own estimate; a function over its budget of 80 becomes a
// call wherever it is used.
var inlined = []struct{ why, names string }{
	{"each record passes through these several times, and each is a load, a store or some arithmetic",
		"header.committed header.record header.claimed header.skip header.typ header.length header.payload header.stride " +
			"makeHeader makeSkip claimMark align disk " +
			"area.word area.load area.publish area.clear (*memory).bytes " +
			"area.space area.write area.short32 area.short64 (*producer).pass (*producer).fits (*Consumer).deliver " +
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
	{"each record is published once", "area.release"},
	{"each record that is filled in place asks for its place", "Claim.Bytes"},
	{"each shared record is settled once", "area.settle"},
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

// unchecked are the functions, named as the compiler names them, in which it must
// leave no check of an index or a slice: what a call writes has been compared with
// the room, once. Reading keeps one, see area.space.
const unchecked = "(*Producer).TryClaimTyped (*Producer).WriteTyped Claim.Bytes Claim.Commit " +
	"(*Producer).write (*producer).publish (*producer).pass (*Consumer).take (*Consumer).deliver area.space area.write area.short32 area.short64"

func TestNoBoundsChecks(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	out, err := exec.Command("go", "build", "-trimpath=false", "-gcflags=-d=ssa/check_bce/debug=1", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	type place struct {
		file string
		line int
	}
	found := map[place]string{}
	for _, m := range regexp.MustCompile(`(?m)^(?:\./|queue/)?(\w+\.go):(\d+):\d+: (Found \w+)`).FindAllStringSubmatch(string(out), -1) {
		line, _ := strconv.Atoi(m[2])
		found[place{m[1], line}] = m[3]
	}
	if len(found) == 0 {
		t.Fatalf("the compiler says nothing about checks:\n%s", out)
	}
	left := map[string]bool{}
	for name := range strings.FieldsSeq(unchecked) {
		left[name] = true
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	for _, file := range files {
		tree, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !left[funcName(f)] {
				continue
			}
			delete(left, funcName(f))
			for line := fset.Position(f.Pos()).Line; line <= fset.Position(f.End()).Line; line++ {
				if what := found[place{file, line}]; what != "" {
					t.Errorf("%s:%d, in %s: %s", file, line, funcName(f), what)
				}
			}
		}
	}
	for name := range left {
		t.Errorf("%s is gone: the list in this test needs an update", name)
	}
}

// funcName is a function's name as the compiler prints it.
func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	switch r := f.Recv.List[0].Type.(type) {
	case *ast.StarExpr:
		return fmt.Sprintf("(*%s).%s", r.X, f.Name.Name)
	default:
		return fmt.Sprintf("%s.%s", r, f.Name.Name)
	}
}

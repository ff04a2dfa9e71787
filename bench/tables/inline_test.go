package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rare are functions whose literals are not part of what is measured.
const rare = "latency strategy (*options).shared verifyBack pipe.empty"

// When the compiler inlines a function that returns a function literal, it copies
// the literal, and inlines nothing in the copy: each fill, Write and Bytes is a
// call there, a third of the time of a short record. So functions that make what
// is measured must be marked go:noinline.
func TestLiteralsAreNotCopied(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	out, err := exec.Command("go", "build", "-o", t.TempDir(), "-gcflags=-m=2", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	can := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m): can inline ([^\s\[]+)(?:\[.*\])? with cost \d+`).FindAllStringSubmatch(string(out), -1) {
		can[m[1]] = true
	}
	if !can["fill"] || !can["read"] {
		t.Fatalf("fill and read must be inlined, the compiler says of none that it can be, or that it cannot:\n%s", out)
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
			if ok && can[funcName(f)] && hasLiteral(f) && !strings.Contains(" "+rare+" ", " "+funcName(f)+" ") {
				t.Errorf("%s: %s can be inlined, and nothing would be in the literals of the copy: mark it go:noinline", fset.Position(f.Pos()), funcName(f))
			}
		}
	}
}

func hasLiteral(f *ast.FuncDecl) (has bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		_, ok := n.(*ast.FuncLit)
		has = has || ok
		return true
	})
	return has
}

// funcName is a function's name as the compiler prints it.
func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	switch r := f.Recv.List[0].Type.(type) {
	case *ast.StarExpr:
		return "(*" + r.X.(*ast.Ident).Name + ")." + f.Name.Name
	default:
		return r.(*ast.Ident).Name + "." + f.Name.Name
	}
}

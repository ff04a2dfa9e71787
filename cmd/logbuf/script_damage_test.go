package main

import (
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdBlank makes bytes of a file zero: blank FILE FROM TO.
func cmdBlank(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: blank FILE FROM TO")
	}
	file := oneFile(ts, args[0])
	data, err := os.ReadFile(file)
	ts.Check(err)
	from, err := strconv.Atoi(args[1])
	ts.Check(err)
	to, err := strconv.Atoi(args[2])
	ts.Check(err)
	clear(data[from:to])
	ts.Check(os.WriteFile(file, data, 0o600))
}

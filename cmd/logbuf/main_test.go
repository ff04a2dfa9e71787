package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run this binary as logbuf: what they test is main itself.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"logbuf": main})
}

// TestScript runs the scripts in testdata/script. They are named after the command they test.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("LOGBUF_UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")) // under -race each process would sleep a second at its end
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"mkarchive": cmdMkarchive,
			"code":      cmdCode,
			"flip":      cmdFlip,
			"blank":     cmdBlank,
			"truncate":  cmdTruncate,
			"remove":    cmdRemove,
			"future":    cmdFuture,
			"scrub":     cmdScrub,
			"waitfor":   cmdWaitfor,
		},
	})
}

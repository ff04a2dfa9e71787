//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
)

const unitFile = "../../docs/systemd/logbuf@.service"

// unit reads the settings of a unit file, by name.
func unit(t *testing.T) (text string, settings map[string][]string) {
	t.Helper()
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	settings = make(map[string][]string)
	for _, line := range strings.Split(string(b), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && line[0] != '#' {
			settings[name] = append(settings[name], value)
		}
	}
	return string(b), settings
}

// The unit starts what there is: the command line is one that this build
// understands, and exit codes and signals are those that it has.
func TestUnit(t *testing.T) {
	_, settings := unit(t)
	one := func(name string) string {
		t.Helper()
		if len(settings[name]) != 1 {
			t.Fatalf("%s stands in the unit %d times", name, len(settings[name]))
		}
		return settings[name][0]
	}
	args := strings.Fields(one("ExecStart"))
	cmd, rest, err := newRootCmd().Find(args[1:])
	if err != nil || cmd.Name() != "record" {
		t.Fatalf("ExecStart=%v: %v", args, err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Error(err)
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Error(err)
	}
	if f := cmd.Flags().Lookup("config"); f.Value.String() != "/etc/logbuf/%i.yaml" {
		t.Errorf("--config %s", f.Value)
	}
	for name, want := range map[string]string{
		"Type": "notify", "KillSignal": "SIGTERM", "Restart": "on-failure", "RestartPreventExitStatus": strconv.Itoa(cli.ExitUsage),
		"StateDirectory": "logbuf/%i", "WorkingDirectory": "%S/logbuf/%i",
	} {
		if got := one(name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	if d, err := time.ParseDuration(one("WatchdogSec")); err != nil || d < 10*time.Second {
		t.Errorf("WatchdogSec=%v, %v", d, err)
	}
}

// systemd itself finds nothing to say about the unit, and little that it exposes.
func TestUnitVerified(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("LOGBUF_REQUIRE_SYSTEMD") != "" {
			t.Fatal(err)
		}
		t.Skip("no systemd-analyze here")
	}
	text, settings := unit(t)
	command := strings.Fields(settings["ExecStart"][0])[0]
	path := filepath.Join(t.TempDir(), filepath.Base(unitFile))
	analyze := func(text string, args ...string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", append(args, path)...).CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze %v: %v", args, err)
		}
		return string(out)
	}
	// Its ExecStart must exist.
	text = strings.ReplaceAll(text, command, prepare(t, nil).Path)
	if out := analyze(text, "verify"); out != "" {
		t.Errorf("systemd-analyze verify:\n%s", out)
	}
	if out := analyze(strings.Replace(text, "WatchdogSec", "WatchdogSecond", 1), "verify"); !strings.Contains(out, "WatchdogSecond") {
		t.Errorf("systemd-analyze verify does not see a key that there is not:\n%s", out)
	}
	out := analyze(text, "security", "--offline=yes", "--threshold=20")
	lines := strings.Split(out, "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "Overall exposure level") })
	if i < 0 {
		t.Errorf("systemd-analyze security:\n%s", out)
		return
	}
	t.Log(strings.TrimSpace(lines[i]))
}

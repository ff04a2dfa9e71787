package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// childEnv is set for services that are processes of their own; a test binary
// is a service then.
const childEnv = "EVENTSOURCING_CHILD"

// process is a service in a process of its own.
type process struct {
	cmd     *exec.Cmd
	addr    string
	rebuilt string // what it said of its start
	done    chan struct{}
}

// startProcess starts this program as a service and returns when it listens.
// What it prints on standard error goes to log.
func startProcess(log io.Writer, env []string, args ...string) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(exe, args...), done: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), childEnv+"=1"), env...)
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for p.addr == "" && lines.Scan() {
		if s, ok := strings.CutPrefix(lines.Text(), "rebuilt: "); ok {
			p.rebuilt = s
		}
		if s, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			p.addr = s
		}
	}
	go func() {
		defer close(p.done)
		_, _ = io.Copy(io.Discard, out)
		_ = p.cmd.Wait()
	}()
	if p.addr == "" {
		<-p.done
		return nil, fmt.Errorf("the service has not started: %v", p.cmd.ProcessState)
	}
	return p, nil
}

// kill ends the process without a warning, as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// interrupt asks the process to end, and returns its exit status.
func (p *process) interrupt() int {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		_ = p.cmd.Process.Kill() // no such signal on this system
	}
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

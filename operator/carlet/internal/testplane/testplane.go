// Package testplane starts real servers for tests: nats-server, and an API server with its store. It starts only what it
// stops again by its own process.
package testplane

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const patience = time.Minute // for servers that start on a busy machine

// Process is a server that a test started.
type Process struct {
	command *exec.Cmd
	done    chan struct{}
}

// Start runs a program until the test ends; its output goes to a file that is shown when the test fails.
func Start(t *testing.T, program string, args ...string) *Process {
	t.Helper()
	output, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{command: exec.Command(program, args...), done: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = output, output
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // nothing outlives a killed test
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill(t)
		if text, err := os.ReadFile(output.Name()); t.Failed() && err == nil {
			t.Logf("%s said:\n%s", program, text[max(0, len(text)-4000):])
		}
	})
	return p
}

// Stop ends the process as Kubernetes does first, and waits until it has ended by itself.
func (p *Process) Stop(t *testing.T) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Errorf("process %d does not end", p.command.Process.Pid)
	}
}

// Signal sends a signal.
func (p *Process) Signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		t.Error(err)
	}
}

// Kill ends the process as kill -9 does, and waits until it is gone.
func (p *Process) Kill(t *testing.T) {
	t.Helper()
	_ = p.command.Process.Kill()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Errorf("process %d does not end", p.command.Process.Pid)
	}
}

// Eventually waits until a condition holds, and fails with its last error.
func Eventually(t *testing.T, what string, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// program is the path of a server from an environment variable; the test is skipped without it.
func program(t *testing.T, variable, name string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	t.Skipf("no %s: set %s to its path (make test does)", name, variable)
	return ""
}

// StartNATS starts a real nats-server on a configuration.
func StartNATS(t *testing.T, config string, port int) *Process {
	t.Helper()
	p := Start(t, program(t, "PARKADE_NATS_SERVER", "nats-server"), "-c", config)
	AwaitPort(t, p, port)
	return p
}

// NATSURL is where it listens.
func NATSURL(port int) string { return fmt.Sprintf("nats://127.0.0.1:%d", port) }

// AwaitPort waits until a process listens.
func AwaitPort(t *testing.T, p *Process, port int) {
	t.Helper()
	Eventually(t, fmt.Sprintf("port %d", port), func() error {
		select {
		case <-p.done:
			t.Fatalf("process for port %d ended", port)
		default:
		}
		conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

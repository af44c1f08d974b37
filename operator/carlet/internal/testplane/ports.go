package testplane

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// claims are the ports that this process has, and the file in which other processes see them; operator/parkade/local/ports.py.
var claims struct {
	sync.Mutex
	file *os.File
	held map[int]bool
}

// FreePort finds a port below the ephemeral range, where no client's connection can take it first, and which no other
// choice is given while this process lives.
func FreePort(t *testing.T) int {
	t.Helper()
	claims.Lock()
	defer claims.Unlock()
	if claims.file == nil {
		claims.file, claims.held = openClaims(t), map[int]bool{}
	}
	const lowest, highest = 20000, 32000
	start := (os.Getpid()*7919 + int(time.Now().UnixNano()/1000)) % (highest - lowest)
	for i := range highest - lowest {
		port := lowest + (start+i)%(highest-lowest)
		if claims.held[port] || !free(port) {
			continue
		}
		lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: int64(port), Len: 1}
		if syscall.FcntlFlock(claims.file.Fd(), syscall.F_SETLK, &lock) == nil {
			claims.held[port] = true
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func openClaims(t *testing.T) *os.File {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(cache, "parkade", "ports.lock")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func free(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		listener.Close()
	}
	return err == nil
}

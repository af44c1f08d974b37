package testplane

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const claimed = "PARKADE_TEST_CLAIMED" // a port that another process shall try to claim

// TestNoPortIsGivenTwice runs itself once more as the other process.
func TestNoPortIsGivenTwice(t *testing.T) {
	if port, err := strconv.Atoi(os.Getenv(claimed)); err == nil {
		lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: int64(port), Len: 1}
		fmt.Println("claim:", syscall.FcntlFlock(openClaims(t).Fd(), syscall.F_SETLK, &lock))
		return
	}
	seen := map[int]bool{}
	for range 50 {
		port := FreePort(t)
		if seen[port] {
			t.Fatalf("%d is given twice", port)
		}
		seen[port] = true
	}
	tryAs := func(port int) string {
		other := exec.Command(os.Args[0], "-test.run=^TestNoPortIsGivenTwice$", "-test.v")
		other.Env = append(os.Environ(), fmt.Sprintf("%s=%d", claimed, port))
		said, err := other.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		return string(said)
	}
	if said := tryAs(FreePort(t)); strings.Contains(said, "claim: <nil>") {
		t.Errorf("another process may have the same port:\n%s", said)
	}
	if said := tryAs(1); !strings.Contains(said, "claim: <nil>") {
		t.Errorf("another process may have no port that nobody has:\n%s", said)
	}
}

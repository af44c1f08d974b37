package witness

import (
	"os"
	"strings"
	"testing"
	"time"

	"parkade.dev/carlet/fleet"
)

// The message that docs/extend/signals.md prints is taken as the page says.
func TestThePrintedMessageIsUnderstood(t *testing.T) {
	page, err := os.ReadFile("../../../docs/extend/signals.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "```json\n")
	message, _, found := strings.Cut(after, "```")
	if !found {
		t.Fatal("the page prints no message")
	}
	claim, at, err := readVSS([]byte(message))
	if err != nil || claim != fleet.PluggedIn || !at.Equal(time.Date(2026, 8, 18, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("it is %q at %v, error %v", claim, at, err)
	}
}

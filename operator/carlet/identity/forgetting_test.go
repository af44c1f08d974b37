package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"parkade.dev/carlet/fleet"
)

// grep names the files below a directory that hold a text.
func grep(t *testing.T, dir, text string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // a file that the server has just removed
		}
		if content, err := os.ReadFile(path); err == nil && bytes.Contains(content, []byte(text)) || strings.Contains(path, text) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAForgottenCarLeavesNothingBehind(t *testing.T) {
	p := startPlane(t)
	car, grant, conn, token := p.enrolled(t)
	js, err := jetstream.New(p.admin.Conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: fleet.Stream, Subjects: []string{"parkade.v1.*.*.hello", "parkade.v1.*.*.state"}, MaxMsgsPerSubject: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "RECEIPTS", Subjects: []string{"parkade.v1.*.*.receipt"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"hello", "state", "state", "state", "receipt", "receipt"} {
		text := fmt.Sprintf(`{"v":1,"vehicle":%q}`, grant.Vehicle)
		if err := conn.Publish("parkade.v1.f."+grant.Vehicle+"."+kind, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(t.Context(), "parkade.v1.f.v-other.state", []byte("stays")); err != nil {
		t.Fatal(err)
	}
	messages := func() (n uint64) {
		for _, s := range []jetstream.Stream{stream, receipts} {
			info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("parkade.v1.f."+grant.Vehicle+".>"))
			if err != nil {
				t.Fatal(err)
			}
			for _, count := range info.State.Subjects {
				n += count
			}
		}
		return n
	}
	if err := conn.Flush(); err != nil || messages() != 4 {
		t.Fatalf("%d messages, %v", messages(), err)
	}
	entry, err := p.admin.Find(t.Context(), "f", realID, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.admin.Forget(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	p.awaitEvent(t, "forgotten "+grant.Vehicle)
	if n := messages(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 1 {
		t.Errorf("another car's words are gone too: %+v %v", info.State, err)
	}
	if _, err := p.admin.Find(t.Context(), "f", realID, ""); !errors.Is(err, errNotEnrolled) {
		t.Errorf("the roll knows it: %v", err)
	}
	roll, err := js.Stream(t.Context(), "KV_"+Bucket)
	if err != nil {
		t.Fatal(err)
	}
	for sequence := uint64(1); ; sequence++ { // whatever is left of the roll, markers included
		msg, err := roll.GetMsg(t.Context(), sequence)
		if err == nil && bytes.Contains(msg.Data, []byte(grant.Vehicle)) {
			t.Errorf("the roll holds %s %s", msg.Subject, msg.Data)
		}
		if info, _ := roll.Info(t.Context()); sequence >= info.State.LastSeq {
			break
		}
	}
	if _, err := car.connect(t, p, grant); err == nil {
		t.Error("its credentials are good")
	}
	for _, text := range []string{grant.Vehicle, realID} {
		if found := grep(t, filepath.Dir(p.options.Dir), text); len(found) > 0 {
			t.Errorf("%s is in %v", text, found)
		}
		if strings.Contains(p.log.String(), text) {
			t.Errorf("the log holds %s:\n%s", text, p.log)
		}
	}
	again, status := p.post(t, "/v1/enroll", token, Enrolment{V: 1, Fleet: "f", ID: realID, PublicKey: car.public})
	if status != http.StatusOK || again.Vehicle == grant.Vehicle {
		t.Errorf("enrolled again: %d %+v", status, again)
	}
}

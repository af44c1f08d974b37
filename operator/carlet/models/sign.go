package models

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// URLLife is how long a signed URL is good: long enough to begin a download over a slow link and resume it.
const URLLife = time.Hour

const keyBytes = 32

// Signer makes and checks URLs with a key that only carlets have.
type Signer struct {
	key  []byte
	base string // https://HOST:PORT
}

// NewSigner signs with a key that all carlets behind one address have. advertise is the HOST:PORT that vehicles reach.
func NewSigner(key []byte, advertise string) *Signer {
	return &Signer{key: key, base: "https://" + advertise}
}

// OpenSigner reads the key from a file, making it if it is missing.
func OpenSigner(file, advertise string) (*Signer, error) {
	key, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("key of model URLs: %w", err)
	}
	if len(key) < keyBytes {
		return nil, fmt.Errorf("key of model URLs: %s has %d bytes instead of %d; delete it and a new one is made", file, len(key), keyBytes)
	}
	return NewSigner(key, advertise), nil
}

func makeKey(file string) ([]byte, error) {
	key := make([]byte, keyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	handle, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = handle.Write(key)
	return key, errors.Join(err, handle.Sync(), handle.Close())
}

// URL of a digest, good until now + URLLife.
func (s *Signer) URL(digest string, now time.Time) string {
	expires := strconv.FormatInt(now.Add(URLLife).Unix(), 10)
	return s.base + "/models/" + digest + "?expires=" + expires + "&signature=" + s.signature(digest, expires)
}

// Check says whether the signature is ours and still good. It takes the same time wherever a wrong one differs.
func (s *Signer) Check(digest, expires, signature string, now time.Time) bool {
	given, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	expected, _ := hex.DecodeString(s.signature(digest, expires))
	if !hmac.Equal(given, expected) {
		return false
	}
	until, err := strconv.ParseInt(expires, 10, 64)
	return err == nil && now.Unix() < until
}

func (s *Signer) signature(digest, expires string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(digest + "\n" + expires))
	return hex.EncodeToString(mac.Sum(nil))
}

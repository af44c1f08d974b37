package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"parkade.dev/carlet/fleet"
)

// DefaultTokenLife is how long a token lets cars in: an installation campaign.
const DefaultTokenLife = 30 * 24 * time.Hour

// A token is pkt_<id>_<secret> in hexadecimal; the id finds it, the secret proves it. 256 random bits need no slow hash.
const (
	tokenPrefix      = "pkt"
	tokenIDBytes     = 6
	tokenSecretBytes = 32
)

// MakeToken makes a token of a fleet and keeps its hash.
func (r *Roll) MakeToken(ctx context.Context, fleetName string, life time.Duration, now time.Time) (string, error) {
	if err := fleet.CheckName("fleet", fleetName); err != nil {
		return "", err
	}
	if life <= 0 {
		return "", fmt.Errorf("--ttl %s must be positive", life)
	}
	random := make([]byte, tokenIDBytes+tokenSecretBytes)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	id, secret := hex.EncodeToString(random[:tokenIDBytes]), hex.EncodeToString(random[tokenIDBytes:])
	token := Token{SHA256: digest(secret), Created: now.Unix(), Expires: now.Add(life).Unix()}
	if err := r.write(ctx, tokenKey(fleetName, id), 0, token); err != nil {
		return "", err
	}
	return tokenPrefix + "_" + id + "_" + secret, nil
}

// NamedToken is a token with the id by which it is revoked.
type NamedToken struct {
	ID string
	Token
}

// Tokens lists the tokens of a fleet, the oldest first, expired ones included.
func (r *Roll) Tokens(ctx context.Context, fleetName string) ([]NamedToken, error) {
	if err := fleet.CheckName("fleet", fleetName); err != nil {
		return nil, err
	}
	keys, err := r.kv.ListKeysFiltered(ctx, tokenKey(fleetName, "*"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = keys.Stop() }()
	var tokens []NamedToken
	for key := range keys.Keys() {
		token := NamedToken{ID: key[strings.LastIndexByte(key, '.')+1:]}
		_, found, err := r.read(ctx, key, &token.Token)
		if err != nil {
			return nil, err
		}
		if found {
			tokens = append(tokens, token)
		}
	}
	slices.SortFunc(tokens, func(a, b NamedToken) int { return int(a.Created - b.Created) })
	return tokens, nil
}

// RevokeToken ends a token; a whole one is taken as well as its id. Cars that it let in stay.
func (r *Roll) RevokeToken(ctx context.Context, fleetName, token string) error {
	id := token
	if found, _, ok := parseToken(token); ok {
		id = found
	}
	if err := errors.Join(fleet.CheckName("fleet", fleetName), fleet.CheckName("token", id)); err != nil {
		return err
	}
	if _, found, err := r.read(ctx, tokenKey(fleetName, id), &Token{}); err != nil {
		return err
	} else if !found {
		return fmt.Errorf("fleet %s has no token %s; list them with --list", fleetName, id)
	}
	return r.erase(ctx, tokenKey(fleetName, id))
}

// admits says whether a token lets cars into a fleet now. A token that does not exist takes as long as a wrong one.
func (r *Roll) admits(ctx context.Context, fleetName, token string, now time.Time) (bool, error) {
	id, secret, ok := parseToken(token)
	if !ok || fleet.CheckName("fleet", fleetName) != nil {
		return false, nil
	}
	var kept Token
	_, found, err := r.read(ctx, tokenKey(fleetName, id), &kept)
	if err != nil && !errors.Is(err, jetstream.ErrInvalidKey) {
		return false, err
	}
	if !found {
		kept = Token{SHA256: digest("")}
	}
	same := subtle.ConstantTimeCompare([]byte(digest(secret)), []byte(kept.SHA256)) == 1
	return same && found && now.Unix() < kept.Expires, nil
}

func parseToken(token string) (id, secret string, ok bool) {
	parts := strings.Split(token, "_")
	if len(parts) != 3 || parts[0] != tokenPrefix || len(parts[1]) != 2*tokenIDBytes || len(parts[2]) != 2*tokenSecretBytes {
		return "", "", false
	}
	for _, part := range parts[1:] {
		if _, err := hex.DecodeString(part); err != nil {
			return "", "", false
		}
	}
	return parts[1], parts[2], true
}

func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

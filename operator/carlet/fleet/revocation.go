package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// revokedFor is how long a revocation is kept: credentials that carlet signs live a day, so that nothing revoked
// before is good any more.
const revokedFor = 2 * DefaultCredentialsLife

// revokedAhead covers a clock that is ahead of the one of who revokes: what was signed by it must be revoked as well. For
// as long, nothing new is good for the same key.
const revokedAhead = 5 * time.Minute

// systemLife is how long the right to change accounts lives: one command.
const systemLife = time.Minute

const claimsTimeout = 5 * time.Second

// RevokeKey ends everything signed for a public key so far: the account is signed anew, kept in the directory, and
// pushed to nats-server, which closes the connections of the key at once.
func (k *Keys) RevokeKey(public, url, ca string, now time.Time) error {
	return k.revoke(public, now.Add(revokedAhead), url, ca, now)
}

// RevokeWitness ends the credentials of a public key that EnrollWitness named. It is remembered for as long as they can live.
func (k *Keys) RevokeWitness(public, url, ca string, now time.Time) error {
	if !nkeys.IsValidPublicUserKey(public) {
		return errors.New("--revoke wants the public key of the credentials, which begins with U")
	}
	return k.revoke(public, now.Add(LongestWitnessLife), url, ca, now)
}

// revoke ends what was signed for a public key until an instant.
func (k *Keys) revoke(public string, until time.Time, url, ca string, now time.Time) error {
	account, err := k.accountToken(func(claims *jwt.AccountClaims) {
		for revoked, at := range claims.Revocations {
			if now.Sub(time.Unix(at, 0)) > revokedFor {
				delete(claims.Revocations, revoked)
			}
		}
		claims.RevokeAt(public, until)
	})
	if err != nil {
		return err
	}
	conn, err := k.systemConn(url, ca, now)
	if err != nil {
		return fmt.Errorf("the fleet link at %s was not told of the revocation: %w; run the command again", url, err)
	}
	defer conn.Close()
	reply, err := conn.Request("$SYS.REQ.CLAIMS.UPDATE", []byte(account), claimsTimeout)
	if err != nil {
		return fmt.Errorf("nats-server does not take the revocation: %w; does it run with the nats.conf of carlet fleet init?", err)
	}
	var answer struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("nats-server answers the revocation with no JSON: %w", err)
	}
	if answer.Error != nil {
		return fmt.Errorf("nats-server refuses the revocation: %s", answer.Error.Description)
	}
	return nil
}

// systemConn connects as a user of the system account that lives for one command.
func (k *Keys) systemConn(url, ca string, now time.Time) (*nats.Conn, error) {
	user, public, err := newUser()
	if err != nil {
		return nil, err
	}
	claims := jwt.NewUserClaims(public)
	claims.Name, claims.Expires = "carlet fleet", now.Add(systemLife).Unix()
	token, err := claims.Encode(k.system)
	if err != nil {
		return nil, err
	}
	options := []nats.Option{
		nats.Name("carlet fleet"),
		nats.UserJWT(func() (string, error) { return token, nil }, user.Sign),
	}
	if ca != "" {
		options = append(options, nats.RootCAs(ca))
	}
	return nats.Connect(url, options...)
}

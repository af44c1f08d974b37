package fleet

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
)

// How long the credentials of a witness live, which stand in the configuration of a server; if not told, and at most.
const (
	DefaultWitnessLife = 90 * 24 * time.Hour
	LongestWitnessLife = 366 * 24 * time.Hour
)

// EnrollWitness signs credentials with which an adapter says what one witness of a fleet saw, and hears nothing. With mqtt
// they are a token, to be sent as the password of an MQTT client, which cannot sign; else a NATS credentials file. The
// public key is what RevokeKey ends them by.
func (k *Keys) EnrollWitness(fleetName string, source Source, mqtt bool, life time.Duration, now time.Time) (secret []byte, public string, err error) {
	if err := CheckName("fleet", fleetName); err != nil {
		return nil, "", err
	}
	if life <= 0 || life > LongestWitnessLife {
		return nil, "", fmt.Errorf("--ttl %s must be positive, and %s at most", life, LongestWitnessLife)
	}
	user, public, err := newUser()
	if err != nil {
		return nil, "", err
	}
	claims := jwt.NewUserClaims(public)
	claims.Name, claims.Expires = "witness", now.Add(life).Unix()
	claims.IssuerAccount, err = k.account.PublicKey()
	claims.Pub.Allow.Add(WitnessSubjects + fleetName + "." + source.String() + ".>")
	claims.Sub.Deny.Add(">")
	claims.Limits.Payload = MaxMessageBytes
	claims.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard)
	if mqtt {
		claims.BearerToken, claims.AllowedConnectionTypes = true, jwt.StringList{jwt.ConnectionTypeMqtt}
	}
	token, signing := claims.Encode(k.account)
	if err := errors.Join(err, signing); err != nil {
		return nil, "", err
	}
	if mqtt {
		return []byte(token + "\n"), public, nil
	}
	secret, err = credentials(token, user)
	return secret, public, err
}

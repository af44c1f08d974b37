package identity

import (
	"net/http"
	"time"
)

// Reason says in one word why a car is not let in.
type Reason string

// Reasons of refusals.
const (
	Malformed      Reason = "Malformed"
	TokenRefused   Reason = "TokenRefused"
	KeyDiffers     Reason = "KeyDiffers"
	Revoked        Reason = "Revoked"
	NotEnrolled    Reason = "NotEnrolled"
	ProofRefused   Reason = "ProofRefused"
	TooManyAsk     Reason = "TooManyAsk"
	NotAnsweredNow Reason = "NotAnsweredNow"
)

var statuses = map[Reason]int{
	Malformed: http.StatusBadRequest, TokenRefused: http.StatusUnauthorized, KeyDiffers: http.StatusConflict,
	Revoked: http.StatusForbidden, NotEnrolled: http.StatusNotFound, ProofRefused: http.StatusUnauthorized,
	TooManyAsk: http.StatusTooManyRequests, NotAnsweredNow: http.StatusServiceUnavailable,
}

// Refusal is a Reason and the sentence that says how to mend it.
type Refusal struct {
	Reason  Reason
	Message string
	// RetryAfter is when to ask again; zero if asking again does not help.
	RetryAfter time.Duration
}

func (r *Refusal) Error() string { return r.Message }

// The refusals that depend on nothing else. One sentence for every fault of a token: which of them it was helps only who guesses.
var (
	refusedToken = &Refusal{
		Reason:  TokenRefused,
		Message: "the token is not one of this fleet, has expired, or was revoked; make a new one with `parkade fleet token`",
	}
	refusedKey = &Refusal{
		Reason: KeyDiffers,
		Message: "this car is enrolled with another key; restore its state directory, or let it in again with " +
			"`parkade fleet revoke --id ID --readmit`",
	}
	refusedRevoked = &Refusal{
		Reason:  Revoked,
		Message: "this car was revoked; let it in again with `parkade fleet revoke --id ID --readmit`",
	}
	refusedStranger = &Refusal{
		Reason:  NotEnrolled,
		Message: "no car of this name and key is enrolled; enrol it with a token of its fleet",
	}
	refusedProof = &Refusal{
		Reason:  ProofRefused,
		Message: "the signature is not that of this car's key over a nonce of the last minute; ask /v1/nonce again",
	}
)

func malformed(sentence string) *Refusal { return &Refusal{Reason: Malformed, Message: sentence} }

func unavailable() *Refusal {
	return &Refusal{
		Reason: NotAnsweredNow, Message: "the fleet's roll cannot be read now; ask again later", RetryAfter: 5 * time.Second,
	}
}

// Package identity lets cars into a fleet and out of it: tokens, enrolment, renewal, revocation and forgetting. It
// keeps no real id of a car, and logs neither ids nor pseudonyms.
package identity

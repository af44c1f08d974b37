// Package models hands model files to vehicles: GET and HEAD of one digest, by a signed URL that expires, and nothing
// else. What is in the store is put there by the operator, which has checked the digest; the vehicle checks it again.
package models

// Package secrets makes the Secrets that the pods of an installation mount: certificates of one CA, and the keys of the
// fleet link. What is there is kept. It never changes a Secret that somebody else made, and deletes none.
package secrets

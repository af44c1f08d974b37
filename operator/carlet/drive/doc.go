// Package drive plays thousands of vehicles in one process, for tests, demos and sizing. Each has credentials and a TLS
// connection of its own and speaks the protocol of the agent in the car (docs/architecture.md, "The fleet link"); its
// models are pretended, its comings and goings are scripted or follow real charging sessions, and its link may fail as
// real links did. It holds no requests: nothing here dials a router.
package drive

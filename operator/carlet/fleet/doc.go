// Package fleet knows the vehicles: the messages they exchange with carlet, who is present, which cell a
// vehicle belongs to and which replicas it is given. Every decision here is a pure function of its arguments;
// only Link touches the network and only Keys touches files. It knows nothing of Kubernetes.
package fleet

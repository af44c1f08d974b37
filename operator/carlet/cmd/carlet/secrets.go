package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/nodes"
	"parkade.dev/carlet/secrets"
)

// secretsTime bounds a command that only speaks to the API server.
const secretsTime = 2 * time.Minute

type secretsFlags struct {
	*flag.FlagSet
	kubeconfig, namespace string
	secrets.Options
}

func newSecretsFlags(name string) *secretsFlags {
	f := &secretsFlags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.StringVar(&f.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig; default: $KUBECONFIG, else the pod's own account")
	f.StringVar(&f.namespace, "namespace", "parkade-system", "namespace of the Secrets")
	f.StringVar(&f.TLS, "tls", "parkade-tls", "Secret with the certificate of every server, tls.crt and tls.key, and its CA, ca.crt")
	f.StringVar(&f.Fleet, "fleet", "parkade-fleet", "Secret with the keys of the fleet link, as carlet fleet init writes them")
	return f
}

func (f *secretsFlags) store() (*secrets.Store, error) {
	config, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	config.UserAgent = "carlet-secrets/" + nodes.Version
	kube, err := kubernetes.NewForConfig(config)
	return &secrets.Store{Kube: kube, Namespace: f.namespace}, err
}

// fleetSecrets keeps the Secrets of an installation; the chart runs it before each installation and upgrade.
func fleetSecrets(ctx context.Context, args []string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, secretsTime)
	defer cancel()
	f := newSecretsFlags("carlet fleet secrets")
	f.StringVar(&f.Authority, "authority", "parkade-ca", "Secret with the key of the CA that signs the certificate")
	names := f.String("names", "", "host names and addresses of the certificate, by commas")
	f.StringVar(&f.URI, "uri", "parkade://router/parkade", "URI name of the certificate, by which routers know each other")
	f.StringVar(&f.Link.JetStreamDir, "jetstream-dir", "/data/jetstream", "directory of nats-server's streams, where it runs")
	directory := f.String("tls-dir", "/etc/parkade/tls", "directory of tls.crt, tls.key and ca.crt, where nats-server runs")
	f.IntVar(&f.Link.Port, "nats-port", 4222, "port on which nats-server listens")
	f.IntVar(&f.Link.MQTTPort, "mqtt-port", 0, "port on which nats-server takes MQTT, for witnesses that speak it; 0: none")
	f.IntVar(&f.Link.ConnectRate, "nats-connect-rate", fleet.DefaultConnectRate, "TLS handshakes a second that nats-server begins; 0: any number")
	if err := parse(f.FlagSet, args, "names"); err != nil {
		return err
	}
	f.Names = strings.Split(*names, ",")
	f.Link.Host = "0.0.0.0"
	f.Link.TLSCert, f.Link.TLSKey, f.Link.CA = *directory+"/tls.crt", *directory+"/tls.key", *directory+"/ca.crt"
	store, err := f.store()
	if err != nil {
		return err
	}
	return secrets.Keep(ctx, store, f.Options, time.Now(), func(name, why string) {
		fmt.Fprintf(out, "Secret %s in namespace %s was %s\n", name, f.namespace, why)
	})
}

// fleetFetch is for the commands that need a directory of keys.
func fleetFetch(ctx context.Context, args []string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, secretsTime)
	defer cancel()
	f := newSecretsFlags("carlet fleet fetch")
	dir := f.String("dir", "", "directory to write the keys of the fleet link and the CA to, each with mode 0600")
	if err := parse(f.FlagSet, args, "dir"); err != nil {
		return err
	}
	store, err := f.store()
	if err != nil {
		return err
	}
	if err := secrets.Fetch(ctx, store, f.Options, *dir); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the keys of the fleet are in %s: who reads it can speak as any vehicle\n", *dir)
	return err
}

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"parkade.dev/carlet/fleet"
)

func fleetInit(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("carlet fleet init", flag.ContinueOnError)
	var o fleet.KeysOptions
	flags.StringVar(&o.Dir, "dir", "", "directory of keys, credentials and nats.conf; existing keys are kept")
	flags.StringVar(&o.Host, "nats-host", "127.0.0.1", "address on which nats-server listens")
	flags.IntVar(&o.Port, "nats-port", 4222, "port on which nats-server listens")
	flags.IntVar(&o.MQTTPort, "mqtt-port", 0, "port on which nats-server takes MQTT, for witnesses that speak it; 0: none")
	flags.IntVar(&o.ConnectRate, "nats-connect-rate", fleet.DefaultConnectRate, "TLS handshakes a second that nats-server begins; others are turned away before theirs, and come back; 0: any number")
	flags.StringVar(&o.JetStreamDir, "jetstream-dir", "", "directory of nats-server's streams")
	flags.StringVar(&o.TLSCert, "tls-cert", "", "server certificate, PEM; without it the link is not encrypted")
	flags.StringVar(&o.TLSKey, "tls-key", "", "key of the server certificate, PEM")
	flags.StringVar(&o.CA, "ca", "", "certificates of the CA, PEM")
	if err := parse(flags, args, "dir", "jetstream-dir"); err != nil {
		return err
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return fmt.Errorf("--tls-cert and --tls-key belong together; give both or none")
	}
	if o.TLSCert == "" && o.Host != "127.0.0.1" && o.Host != "localhost" && o.Host != "::1" {
		return fmt.Errorf("nats-server would listen on %s without TLS; give --tls-cert and --tls-key", o.Host)
	}
	if _, err := fleet.InitKeys(o); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "start the link with: nats-server -c %s\n", filepath.Join(o.Dir, fleet.ServerConfigFile))
	return err
}

func fleetEnroll(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("carlet fleet enroll", flag.ContinueOnError)
	dir := flags.String("dir", "", "directory that carlet fleet init has made")
	var key fleet.Key
	flags.StringVar(&key.Fleet, "fleet", "", "fleet of the vehicle")
	flags.StringVar(&key.Vehicle, "vehicle", "", "pseudonym of the vehicle, never a VIN")
	file := flags.String("o", "", "file to write, mode 0600; default: standard output")
	life := flags.Duration("ttl", fleet.DefaultCredentialsLife, "how long the credentials are good")
	if err := parse(flags, args, "dir", "fleet", "vehicle"); err != nil {
		return err
	}
	keys, err := fleet.OpenKeys(*dir)
	if err != nil {
		return err
	}
	credentials, err := keys.Enroll(key, *life, time.Now())
	if err != nil {
		return err
	}
	if *file == "" {
		_, err = out.Write(credentials)
		return err
	}
	return os.WriteFile(*file, credentials, 0o600)
}

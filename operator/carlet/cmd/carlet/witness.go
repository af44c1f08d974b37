package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/identity"
	"parkade.dev/carlet/witness"
)

// fleetName gives a car another name, by which the witnesses find it.
func fleetName(ctx context.Context, args []string, out io.Writer) error {
	flags := newAdminFlags("carlet fleet name")
	flags.nameCar()
	token := flags.String("token", "", "idToken with which the car, or its owner, authorises itself at chargers")
	place := flags.String("place", "", "the car's own place, STATION/EVSE: who is plugged in there without a token is this car")
	remove := flags.Bool("remove", false, "take the name away")
	return flags.run(ctx, args, func(ctx context.Context, admin *identity.Admin) error {
		name := witness.TokenName(*token)
		switch {
		case (*token == "") == (*place == ""):
			return errors.New("give one name, by --token or by --place")
		case *place != "":
			name = witness.PlaceName(*place)
		}
		done := "named"
		if *remove {
			done = "removed"
		}
		return flags.onCar(ctx, admin, out, done, func(entry identity.Entry) error {
			return admin.Name(ctx, entry, name, *remove)
		})
	})
}

// fleetWitness signs credentials; their public key, by which they can be revoked, goes to aside.
func fleetWitness(args []string, out, aside io.Writer) error {
	flags := flag.NewFlagSet("carlet fleet witness", flag.ContinueOnError)
	dir := flags.String("dir", "", "directory that carlet fleet init has made")
	fleetName := flags.String("fleet", "", "fleet of whose cars it may speak")
	said := flags.String("source", "", "maker or charger")
	revoke := flags.String("revoke", "", "public key of credentials to end, instead of signing new ones; needs --nats")
	url := flags.String("nats", "", "URL of the fleet link, tls://HOST:PORT, to tell it of a revocation")
	ca := flags.String("nats-ca", "", "CA of the fleet link, PEM; default: the system's")
	mqtt := flags.Bool("mqtt", false, "a password for an MQTT client, instead of NATS credentials")
	file := flags.String("o", "", "file to write, mode 0600; default: standard output")
	life := flags.Duration("ttl", fleet.DefaultWitnessLife, "how long the credentials are good")
	if err := parse(flags, args, "dir", "fleet"); err != nil {
		return err
	}
	keys, err := fleet.OpenKeys(*dir)
	if err != nil {
		return err
	}
	if *revoke != "" {
		return keys.RevokeWitness(*revoke, *url, *ca, time.Now())
	}
	source, known := fleet.ParseSource(*said)
	if !known {
		return fmt.Errorf("--source %q is no witness; give maker or charger", *said)
	}
	secret, public, err := keys.EnrollWitness(*fleetName, source, *mqtt, *life, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintln(aside, "public key", public)
	if *file == "" {
		_, err = out.Write(secret)
		return err
	}
	return os.WriteFile(*file, secret, 0o600)
}

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"parkade.dev/carlet/drive"
	"parkade.dev/carlet/fleet"
)

type driveFlags struct {
	drive.Options
	dir, nats, ca, links, fetch, script string
	memory                              int64
	seconds                             float64
	commands                            bool
}

func (f *driveFlags) parse(args []string) error {
	flags := flag.NewFlagSet("carlet drive", flag.ContinueOnError)
	o := &f.Options
	flags.StringVar(&f.dir, "dir", "", "directory that carlet fleet init has made; its keys sign the vehicles' credentials")
	flags.StringVar(&f.nats, "nats", "", "URLs of the fleet link, tls://HOST:PORT, separated by commas")
	flags.StringVar(&f.ca, "ca", "", "CA of the fleet link and of the models, PEM")
	flags.StringVar(&o.Fleet, "fleet", "driven", "fleet of the vehicles")
	flags.StringVar(&o.Prefix, "prefix", "v-", "what vehicles' names begin with, before their number")
	flags.IntVar(&o.Vehicles, "vehicles", 100, "how many vehicles this process plays; each needs a file descriptor")
	flags.IntVar(&o.First, "first", 0, "number of the first vehicle, for several drivers of one fleet")
	flags.StringVar(&o.Hardware, "hardware", "hw4", "hardware that vehicles claim to have")
	flags.Int64Var(&f.memory, "memory-mib", 8192, "memory of each vehicle for models")
	flags.IntVar(&o.Slots, "slots", 1, "requests at a time that vehicles claim to serve")
	flags.Float64Var(&o.Charge, "charge", 80, "state of charge in percent")
	flags.StringVar(&f.links, "links", "WiFi=0.8,Starlink=0.2", "links of the vehicles and their shares")
	flags.DurationVar(&o.Beat, "beat", time.Minute, "time between signs of life, jittered by 10 %")
	flags.IntVar(&o.Dials, "dials", 64, "handshakes at once")
	flags.DurationVar(&o.Spread, "spread", 0, "time over which the first dials are spread")
	flags.StringVar(&f.fetch, "fetch", "pretend", "pretend a download, ask for its first range, or get the whole model: pretend|range|whole")
	flags.Float64Var(&o.Rate, "rate", 25e6, "bytes a second of a pretended download")
	flags.DurationVar(&o.Load, "load", time.Second, "time that a model takes to load")
	flags.DurationVar(&o.Drain, "drain", 500*time.Millisecond, "time that a serving model takes to drain")
	flags.DurationVar(&o.Staying, "staying", 10*time.Second, "time between the announcement of a departure and the departure")
	flags.Float64Var(&o.Stretch, "outages", 0, "links fail as in the traces, outages this many times as long; 0 for links that hold")
	flags.Float64Var(&o.Speed, "charging", 0, "cars come and go as in the charging data, so many times as fast; 0 for cars that stay")
	flags.Float64Var(&o.Chargers, "chargers", 0, "share of the vehicles whose charger tells carlet of its sessions")
	flags.Float64Var(&o.Telemetry, "telemetry", 0, "share of the vehicles whose maker tells carlet what it sees")
	flags.DurationVar(&o.Sighting, "sighting", time.Minute, "time between two messages of a witness of which nothing is new, jittered by 10 %")
	flags.DurationVar(&o.WeekStart, "week-start", 33*time.Hour, "where in the week of the charging data to begin, after Monday 0:00")
	flags.StringVar(&f.script, "script", "", "YAML list of commands, carried out from the start on")
	flags.BoolVar(&f.commands, "commands", false, "carry out commands from standard input, one JSON object a line, until its end")
	flags.Float64Var(&f.seconds, "seconds", 0, "end after so many seconds; 0 for the end of the script or of the commands, else never")
	if err := parse(flags, args, "dir", "nats", "ca"); err != nil {
		return err
	}
	o.Memory, o.Servers = f.memory<<20, strings.Split(f.nats, ",")
	return errors.Join(f.check(), f.readLinks())
}

func (f *driveFlags) check() error {
	o := &f.Options
	switch {
	case o.Vehicles < 1 || o.Vehicles > fleet.MaxVehicles || o.First < 0:
		return fmt.Errorf("--vehicles must be from 1 to %d, and --first not negative", fleet.MaxVehicles)
	case o.Beat < time.Second || o.Beat > time.Hour:
		return fmt.Errorf("--beat %s must be from 1s to 1h", o.Beat)
	case o.Dials < 1 || o.Rate <= 0 || o.Stretch < 0 || o.Speed < 0 || f.seconds < 0:
		return errors.New("--dials and --rate must be positive, --outages, --charging and --seconds not negative")
	case o.Chargers < 0 || o.Chargers > 1 || o.Telemetry < 0 || o.Telemetry > 1 || o.Sighting < time.Second:
		return errors.New("--chargers and --telemetry are shares from 0 to 1, and --sighting is 1s at least")
	}
	return errors.Join(fleet.CheckName("fleet", o.Fleet), fleet.CheckName("vehicle", o.Prefix+"0"))
}

func (f *driveFlags) readLinks() error {
	for part := range strings.SplitSeq(f.links, ",") {
		name, share, _ := strings.Cut(part, "=")
		fraction, err := strconv.ParseFloat(share, 64)
		if err != nil || fraction < 0 || fraction > 1 {
			return fmt.Errorf("--links %q is not LINK=SHARE,... with shares from 0 to 1", f.links)
		}
		f.Links = append(f.Links, drive.Share{Link: name, Fraction: fraction})
	}
	return nil
}

// driveVehicles plays vehicles until it is told to stop, and prints a report.
func driveVehicles(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	var f driveFlags
	if err := f.parse(args); err != nil {
		return err
	}
	script, err := f.readScript()
	if err != nil {
		return err
	}
	if err := f.connect(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if f.Chargers+f.Telemetry > 0 {
		if err := f.connectWitnesses(ctx); err != nil {
			return err
		}
	}
	driver, err := drive.New(f.Options)
	if err != nil {
		return err
	}
	if f.seconds > 0 {
		time.AfterFunc(time.Duration(f.seconds*float64(time.Second)), cancel)
	}
	var running sync.WaitGroup
	running.Go(func() { driver.Run(ctx) })
	driver.AwaitStart()
	ended := make(chan error, 1)
	go func() {
		err := driver.Play(ctx, script, out)
		if err == nil && f.commands {
			err = driver.Obey(in, out)
		} else if err == nil && (f.seconds > 0 || f.script == "") {
			<-ctx.Done()
		}
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	err = errors.Join(err, driver.Write(out))
	cancel()
	running.Wait()
	return err
}

func (f *driveFlags) readScript() ([]drive.Command, error) {
	if f.script == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.script)
	if err != nil {
		return nil, fmt.Errorf("--script: %w", err)
	}
	return drive.ReadScript(text)
}

// connectWitnesses opens a connection for each witness, with credentials as an adapter has them.
func (f *driveFlags) connectWitnesses(ctx context.Context) error {
	keys, err := fleet.OpenKeys(f.dir)
	if err != nil {
		return err
	}
	f.Tell = map[fleet.Source]drive.Tell{}
	for _, source := range []fleet.Source{fleet.Maker, fleet.Charger} {
		secret, _, err := keys.EnrollWitness(f.Fleet, source, false, fleet.DefaultWitnessLife, time.Now())
		if err != nil {
			return err
		}
		conn, err := nats.Connect(f.nats, nats.Name("carlet drive"), nats.UserCredentialBytes(secret), nats.RootCAs(f.ca), nats.MaxReconnects(-1))
		if err != nil {
			return fmt.Errorf("the witnesses' connection: %w", err)
		}
		context.AfterFunc(ctx, conn.Close)
		f.Tell[source] = conn.Publish
	}
	return nil
}

// connect reads keys and certificates.
func (f *driveFlags) connect() error {
	keys, err := fleet.OpenKeys(f.dir)
	if err != nil {
		return err
	}
	f.Enroll = func(key fleet.Key) ([]byte, error) {
		return keys.Enroll(key, fleet.DefaultCredentialsLife, time.Now())
	}
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return fmt.Errorf("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("--ca: %s has no certificate in it", f.ca)
	}
	f.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	switch f.fetch {
	case "pretend":
	case "range", "whole":
		f.Fetch = drive.NewFetch(f.TLS.Clone(), f.fetch == "range")
	default:
		return fmt.Errorf("--fetch %q is not pretend, range or whole", f.fetch)
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/identity"
)

// adminTime bounds a command that speaks to the fleet link.
const adminTime = 30 * time.Second

type adminFlags struct {
	*flag.FlagSet
	dir, nats, ca, fleet string
	id, vehicle          string
}

func newAdminFlags(name string) *adminFlags {
	f := &adminFlags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.StringVar(&f.dir, "dir", "", "directory that carlet fleet init has made")
	f.StringVar(&f.nats, "nats", "", "URL of the fleet link, tls://HOST:PORT")
	f.StringVar(&f.ca, "nats-ca", "", "CA of the fleet link, PEM; default: the system's")
	f.StringVar(&f.fleet, "fleet", "", "fleet")
	return f
}

func (f *adminFlags) nameCar() {
	f.StringVar(&f.id, "id", "", "real id of the car; - reads it from standard input, where no other user sees it")
	f.StringVar(&f.vehicle, "vehicle", "", "pseudonym of the car, instead of --id")
}

// run does what a command is for, with the fleet's keys and within its time.
func (f *adminFlags) run(ctx context.Context, args []string, do func(context.Context, *identity.Admin) error) error {
	return f.with(ctx, args, func(ctx context.Context, credentials string) (*identity.Admin, error) {
		return identity.OpenAdmin(ctx, f.dir, credentials, f.nats, f.ca)
	}, do)
}

// runOnRoll needs no more of the directory than carlet's credentials, which its pods have.
func (f *adminFlags) runOnRoll(ctx context.Context, args []string, do func(context.Context, *identity.Admin) error) error {
	return f.with(ctx, args, func(ctx context.Context, credentials string) (*identity.Admin, error) {
		return identity.OpenRollAlone(ctx, credentials, f.nats, f.ca)
	}, do)
}

func (f *adminFlags) with(ctx context.Context, args []string, open func(context.Context, string) (*identity.Admin, error), do func(context.Context, *identity.Admin) error) error {
	ctx, cancel := context.WithTimeout(ctx, adminTime)
	defer cancel()
	if err := parse(f.FlagSet, args, "dir", "nats", "fleet"); err != nil {
		return err
	}
	admin, err := open(ctx, filepath.Join(f.dir, fleet.CarletCredentialsFile))
	if err != nil {
		return err
	}
	defer admin.Close()
	return do(ctx, admin)
}

// onCar does it to the car that is named, and prints what was done.
func (f *adminFlags) onCar(ctx context.Context, admin *identity.Admin, out io.Writer, done string, do func(identity.Entry) error) error {
	entry, err := f.car(ctx, admin)
	if err != nil {
		return err
	}
	if err := do(entry); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, done)
	return err
}

func (f *adminFlags) car(ctx context.Context, admin *identity.Admin) (identity.Entry, error) {
	if (f.id == "") == (f.vehicle == "") {
		return identity.Entry{}, errors.New("name one car, by --id or by --vehicle")
	}
	if f.id == "-" {
		line, err := bufio.NewReader(io.LimitReader(os.Stdin, 1024)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return identity.Entry{}, err
		}
		f.id = strings.TrimSpace(line)
	}
	return admin.Find(ctx, f.fleet, f.id, f.vehicle)
}

func fleetToken(ctx context.Context, args []string, out io.Writer) error {
	flags := newAdminFlags("carlet fleet token")
	life := flags.Duration("ttl", identity.DefaultTokenLife, "how long the token lets cars in")
	list := flags.Bool("list", false, "list the fleet's tokens by id, without their secrets")
	revoke := flags.String("revoke", "", "revoke a token, by id; cars that it let in stay")
	return flags.runOnRoll(ctx, args, func(ctx context.Context, admin *identity.Admin) error {
		switch {
		case *list:
			return listTokens(ctx, admin, flags.fleet, out)
		case *revoke != "":
			return admin.Roll.RevokeToken(ctx, flags.fleet, *revoke)
		}
		token, err := admin.Roll.MakeToken(ctx, flags.fleet, *life, time.Now())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, token)
		return err
	})
}

func listTokens(ctx context.Context, admin *identity.Admin, fleetName string, out io.Writer) error {
	tokens, err := admin.Roll.Tokens(ctx, fleetName)
	for _, token := range tokens {
		expires := time.Unix(token.Expires, 0).UTC()
		state := "good until"
		if !expires.After(time.Now()) {
			state = "expired"
		}
		fmt.Fprintf(out, "%s  made %s  %s %s\n", token.ID, time.Unix(token.Created, 0).UTC().Format(time.RFC3339), state, expires.Format(time.RFC3339))
	}
	return err
}

func fleetRevoke(ctx context.Context, args []string, out io.Writer) error {
	flags := newAdminFlags("carlet fleet revoke")
	flags.nameCar()
	readmit := flags.Bool("readmit", false, "let the car in again by a token, with a new key and under its old name")
	return flags.run(ctx, args, func(ctx context.Context, admin *identity.Admin) error {
		return flags.onCar(ctx, admin, out, "revoked", func(entry identity.Entry) error {
			return admin.Revoke(ctx, entry, *readmit)
		})
	})
}

func fleetForget(ctx context.Context, args []string, out io.Writer) error {
	flags := newAdminFlags("carlet fleet forget")
	flags.nameCar()
	return flags.run(ctx, args, func(ctx context.Context, admin *identity.Admin) error {
		return flags.onCar(ctx, admin, out, "forgotten", func(entry identity.Entry) error {
			return admin.Forget(ctx, entry)
		})
	})
}

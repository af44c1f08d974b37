// Command carlet shows cells of vehicles as Kubernetes nodes, keeps the fleet link, and makes the link's keys.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"parkade.dev/carlet/nodes"
)

const usage = `carlet ` + nodes.Version + `: the vehicles of a fleet as Kubernetes nodes

  carlet nodes         serve the cells of a cluster
  carlet fleet init    make the keys of the fleet link and the configuration of nats-server
  carlet fleet secrets make the Secrets of an installation that are missing
  carlet fleet fetch   write those keys to a directory, for the commands below
  carlet fleet enroll  sign the credentials of one vehicle
  carlet fleet token   make, list or revoke the tokens with which cars enrol themselves
  carlet fleet revoke  end a car's right to be in its fleet
  carlet fleet forget  erase a car
  carlet fleet name    let a car's charger find it by its card or by its place
  carlet fleet witness sign the credentials of who tells what a maker or the chargers see
  carlet drive         play thousands of vehicles, for tests, demos and sizing
  carlet version

Each command lists its flags with --help.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "carlet:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("unknown command")

func run(ctx context.Context, args []string, out io.Writer) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	if command == "fleet" && len(args) > 0 {
		command, args = "fleet "+args[0], args[1:]
	}
	switch command {
	case "nodes":
		return serveNodes(ctx, args)
	case "fleet init":
		return fleetInit(args, out)
	case "fleet secrets":
		return fleetSecrets(ctx, args, out)
	case "fleet fetch":
		return fleetFetch(ctx, args, out)
	case "fleet enroll":
		return fleetEnroll(args, out)
	case "fleet token":
		return fleetToken(ctx, args, out)
	case "fleet revoke":
		return fleetRevoke(ctx, args, out)
	case "fleet forget":
		return fleetForget(ctx, args, out)
	case "fleet name":
		return fleetName(ctx, args, out)
	case "fleet witness":
		return fleetWitness(args, out, os.Stderr)
	case "drive":
		return driveVehicles(ctx, args, os.Stdin, out)
	case "version":
		_, err := fmt.Fprintln(out, nodes.Version)
		return err
	}
	return errUsage
}

// parse reads flags and refuses leftovers and missing ones by name.
func parse(flags *flag.FlagSet, args []string, required ...string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s takes no argument %q", flags.Name(), flags.Arg(0))
	}
	for _, name := range required {
		if flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("%s needs --%s: %s", flags.Name(), name, flags.Lookup(name).Usage)
		}
	}
	return nil
}

package drive

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"sigs.k8s.io/yaml"
)

// Command is one line of a script, or of standard input. Times are in seconds.
type Command struct {
	// At is when, after the start; of standard input, after the line.
	At float64 `json:"at"`
	// Do is lose, vanish, depart, arrive or report.
	Do string `json:"do"`
	// Fraction of the vehicles, always the same ones first; 0 is all.
	Fraction float64 `json:"fraction"`
	// Cells bounds the vehicles to those of cells.
	Cells []string `json:"cells"`
	// Over spreads what happens.
	Over float64 `json:"over"`
	// For is how long a lost link stays lost, or a departing car stays.
	For float64 `json:"for"`
	// Stretch makes the length of a lost link that of an outage of its trace (of the cellular one for links without), so many
	// times as long, within Least and Most; instead of For.
	Stretch float64 `json:"stretch"`
	Least   float64 `json:"least"`
	Most    float64 `json:"most"`
	// Jitter spreads the return of lost links; without it vehicles return as patiently as the agent.
	Jitter *float64 `json:"jitter"`
}

// ReadScript reads a YAML list of commands.
func ReadScript(text []byte) ([]Command, error) {
	var commands []Command
	if err := yaml.UnmarshalStrict(text, &commands); err != nil {
		return nil, fmt.Errorf("the script is not a list of commands: %w", err)
	}
	for i, command := range commands {
		if err := command.check(); err != nil {
			return nil, fmt.Errorf("command %d: %w", i+1, err)
		}
	}
	slices.SortStableFunc(commands, func(a, b Command) int { return int(1000 * (a.At - b.At)) })
	return commands, nil
}

func (c *Command) check() error {
	if !slices.Contains([]string{"lose", "vanish", "depart", "arrive", "report"}, c.Do) {
		return fmt.Errorf("do is %q; write lose, vanish, depart, arrive or report", c.Do)
	}
	if c.Fraction < 0 || c.Fraction > 1 || min(c.At, c.Over, c.For, c.Stretch, c.Least) < 0 || c.Jitter != nil && *c.Jitter < 0 {
		return fmt.Errorf("%s: fraction is from 0 to 1, and no time is negative", c.Do)
	}
	if c.Stretch > 0 && (c.Most <= 0 || c.Most < c.Least) {
		return fmt.Errorf("%s: stretch needs most, the seconds that a link is lost at most, and least no longer than that", c.Do)
	}
	return nil
}

// Play carries out a script, and returns at its end.
func (d *Driver) Play(ctx context.Context, commands []Command, out io.Writer) error {
	began := time.Now()
	for _, command := range commands {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(began.Add(inSeconds(command.At)))):
		}
		if err := d.carryOut(command, 0, out); err != nil {
			return err
		}
	}
	return nil
}

// Obey carries out commands, one JSON object a line, until there are no more. A line that is no command is answered by an
// object with an error.
func (d *Driver) Obey(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var command Command
		err := json.Unmarshal(lines.Bytes(), &command)
		if err == nil {
			err = command.check()
		}
		if err != nil {
			if err := json.NewEncoder(out).Encode(map[string]string{"error": err.Error()}); err != nil {
				return err
			}
			continue
		}
		if err := d.carryOut(command, inSeconds(command.At), out); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (d *Driver) carryOut(command Command, delay time.Duration, out io.Writer) error {
	if command.Do == "report" {
		return d.Write(out)
	}
	now := d.now()
	for _, v := range d.vehicles {
		if command.Fraction > 0 && portion(v.number, 1) >= command.Fraction {
			continue
		}
		v.mu.Lock()
		if len(command.Cells) == 0 || slices.Contains(command.Cells, v.desired.Cell) {
			at := now + delay
			if command.Over > 0 {
				at += time.Duration(portion(v.number, 2) * command.Over * float64(time.Second))
			}
			v.plans = append(v.plans, plan{at, command.happening()})
			v.step(now)
		}
		v.mu.Unlock()
	}
	return nil
}

func (c *Command) happening() func(*vehicle, moment) {
	length := inSeconds(c.For)
	switch c.Do {
	case "lose":
		jitter := time.Duration(-1)
		if c.Jitter != nil {
			jitter = inSeconds(*c.Jitter)
		}
		return func(v *vehicle, now moment) {
			if c.Stretch > 0 {
				like := v.outageLike().Seconds() * c.Stretch
				v.lose(now, inSeconds(min(max(like, c.Least), c.Most)), jitter)
				return
			}
			v.lose(now, length, jitter)
		}
	case "vanish":
		return func(v *vehicle, now moment) { v.vanish(now) }
	case "depart":
		return func(v *vehicle, now moment) { v.depart(now, max(length, v.driver.options.Staying)) }
	default:
		return func(v *vehicle, now moment) { v.arrive(now) }
	}
}

func inSeconds(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

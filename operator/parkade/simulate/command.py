"""`parkade generate-problem`: a problem file of a chosen size, to measure solvers with."""

from pathlib import Path

import click

from parkade.errors import InvalidInput
from parkade.simulate.problems import Sizes, generate


@click.command("generate-problem")
@click.option("--workloads", type=click.IntRange(1, 100_000), required=True, help="Demands.")
@click.option("--vehicles", type=click.IntRange(2, 100_000_000), required=True,
              help="Cars; one supply for 400 of them, 2,400 at most.")  # fmt: skip
@click.option("--steps", type=click.IntRange(1, 10_000_000), required=True,
              help="Price steps of all vehicle supplies, at least one each.")  # fmt: skip
@click.option("--servers", type=click.IntRange(1, 1_000_000), required=True,
              help="Triton servers; one pool for 35 of them, 200 at most.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Equal arguments give equal bytes.")
@click.option("--limits", is_flag=True, help="Limit each zone's power and the new replicas.")
@click.option("--demand-scale", type=click.FloatRange(min=0.0, min_open=True, max=1e6), default=1.0, show_default=True,
              help="Factor on every rate: 1 is comfortable, 2 tight, 2.9 about what there is.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .npz file to write.")
def generate_problem(output: Path, **sizes: float) -> None:
    """Make a realistic placement problem; docs/placement.md describes the file and what is in it."""
    problem = generate(Sizes(**sizes))  # type: ignore[arg-type]  # click has made them what the options say
    try:
        problem.to_npz(output)
    except OSError as error:
        raise InvalidInput(f"{output} cannot be written: {error.strerror}; choose another -o") from None
    demands, arcs = len(problem.demands_covers_offsets) - 1, len(problem.arcs_demand)
    covers, supplies = len(problem.demands_covers_quantity), len(problem.supplies_steps_offsets) - 1
    click.echo(f"{output}: {demands} demands with {covers} covers, {supplies} supplies, {arcs} arcs, "
               f"{len(problem.limits_bound)} limits")  # fmt: skip

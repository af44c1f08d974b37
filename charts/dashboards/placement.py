"""What runs where, what it costs by cause, and what is missing."""

from dashboards.board import TIER, WORKLOAD, Board, Row, lines, number, stacked

_OF = 'workload=~"$workload"'
_AT = f'{{{_OF}, tier=~"$tier"}}'
_COST = f"max by (workload) (parkade_workload_cost_dollars_per_hour{{{_OF}}})"
_RATE = f"(sum by (workload) (rate(parkade_router_requests_total{{{_OF}}}[5m])) > 0)"

PLACEMENT = Board(
    "placement",
    "Parkade / Placement and cost",
    "Where workloads run and what the plan costs. Costs are modelled from the manifests' prices, not billed.",
    (WORKLOAD, TIER),
    (
        Row(
            "Now",
            (
                number(
                    "Cost of the plan an hour",
                    "Dollars an hour of all that is planned.",
                    "currencyUSD",
                    "max(parkade_plan_cost_dollars_per_hour)",
                ),
                number(
                    "Ready replicas",
                    "Replicas of the workloads and tiers chosen that can answer.",
                    "short",
                    f"sum(max by (workload, tier) (parkade_replicas{_AT}))",
                ),
                number(
                    "Missing replicas",
                    "Replicas that the plan wants and that are not ready; a few minutes after a change that is ordinary.",
                    "short",
                    f"sum(clamp_min(max by (workload, tier) (parkade_planned_replicas{_AT})"
                    f" - max by (workload, tier) (parkade_replicas{_AT}), 0))",
                ),
                number(
                    "Wants not met",
                    "What workloads ask for and no place can give; their status says what would help.",
                    "short",
                    f"sum(max by (workload) (parkade_workload_shortfalls{{{_OF}}}))",
                ),
            ),
        ),
        Row(
            "Money",
            (
                stacked(
                    "Cost an hour by workload",
                    "Dollars an hour.",
                    "currencyUSD",
                    _COST,
                    "{{workload}}",
                ),
                stacked(
                    "Cost an hour by cause",
                    "Dollars an hour of the whole plan: energy, carbon, payouts to owners, wear, bytes, what servers are worth to others, moves.",
                    "currencyUSD",
                    "max by (part) (parkade_plan_cost_part_dollars_per_hour)",
                    "{{part}}",
                ),
                lines(
                    "Cost of a thousand requests",
                    "Dollars, from the plan's cost and the requests that routers count.",
                    "currencyUSD",
                    (
                        f"1000 * {_COST} / 3600 / {_RATE}",
                        "{{workload}}",
                    ),
                ),
            ),
        ),
        Row(
            "Replicas",
            (
                lines(
                    "Ready replicas",
                    "Replicas that can answer, on cars and in the datacenter.",
                    "short",
                    (f"max by (workload, tier) (parkade_replicas{_AT})", "{{workload}} {{tier}}"),
                ),
                lines(
                    "Planned replicas",
                    "Replicas that the newest plan wants.",
                    "short",
                    (f"max by (workload, tier) (parkade_planned_replicas{_AT})", "{{workload}} {{tier}}"),
                ),
                lines(
                    "Changes",
                    "Steps a second by kind and outcome; waiting and started are ordinary, refused is not.",
                    "cps",
                    ("sum by (kind, outcome) (rate(parkade_changes_total[$__rate_interval]))", "{{kind}} {{outcome}}"),
                ),
                lines(
                    "Model files",
                    "Files that workloads name, by their state on the way into the model store.",
                    "short",
                    ("max by (state) (parkade_model_files)", "{{state}}"),
                ),
            ),
        ),
    ),
)

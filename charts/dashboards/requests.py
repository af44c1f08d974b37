"""What callers ask and how they are answered."""

from dashboards.board import TIER, WORKLOAD, Board, Chart, Row, lines, middle_and_slowest, number, quantile, stacked

_OF = 'workload=~"$workload"'
_REQUESTS = f"parkade_router_requests_total{{{_OF}"
_SECONDS = f'parkade_router_request_duration_seconds_bucket{{{_OF}, tier=~"$tier"}}'
_BY_OUTCOME = "parkade_router_{}_total{{{}}}[$__rate_interval]"


def _errors(window: str) -> str:
    wrong = f'sum by (workload) (rate({_REQUESTS}, outcome=~"failed|unplaced|shed"}}[{window}]))'
    return f'{wrong} / (sum by (workload) (rate({_REQUESTS}, outcome!~"rejected|cancelled"}}[{window}])) > 0)'


def _counted(title: str, says: str, metric: str, label: str) -> Chart:
    what = _BY_OUTCOME.format(metric, _OF)
    return lines(title, says, "cps", (f"sum by ({label}) (rate({what}))", f"{{{{{label}}}}}"))


REQUESTS = Board(
    "requests",
    "Parkade / Requests and SLO",
    "Requests as routers count them. Errors are failed, unplaced and shed; what is the caller's fault counts on neither side.",
    (WORKLOAD, TIER),
    (
        Row(
            "Now",
            (
                number("Requests a second", "Over the last five minutes.", "reqps", f"sum(rate({_REQUESTS}}}[5m]))"),
                number(
                    "Answered",
                    "Share of the last hour's requests that got an answer; the objective is 99.9 %.",
                    "percentunit",
                    f'sum(rate({_REQUESTS}, outcome="answered"}}[1h])) / sum(rate({_REQUESTS}, outcome!~"rejected|cancelled"}}[1h]))',
                ),
                number(
                    "Slowest hundredth",
                    "99 % of the requests of the last five minutes were answered within this time.",
                    "s",
                    quantile(0.99, _SECONDS, over="5m"),
                ),
                number(
                    "Waiting",
                    "Requests that wait for a free replica.",
                    "short",
                    f"sum(parkade_router_waiting{{{_OF}}})",
                ),
            ),
        ),
        Row(
            "Objective",
            (
                lines(
                    "Errors",
                    "Share of requests that failed; 0.1 % is allowed.",
                    "percentunit",
                    (_errors("5m"), "{{workload}}"),
                ),
                lines(
                    "Burn rate",
                    "How many times faster than allowed the error budget is used: one hour, and six hours. At 1 it lasts exactly 30 days.",
                    "short",
                    (f"({_errors('1h')}) / 0.001", "{{workload}} 1 h"),
                    (f"({_errors('6h')}) / 0.001", "{{workload}} 6 h"),
                ),
                lines(
                    "Latency and target",
                    "The slowest hundredth as measured, what the plan expects, and what the manifest asks for.",
                    "s",
                    (
                        quantile(0.99, _SECONDS, "workload, le"),
                        "{{workload}}",
                    ),
                    (
                        f"max by (workload) (parkade_workload_expected_latency_seconds{{{_OF}}})",
                        "{{workload}} expected",
                    ),
                    (f"max by (workload) (parkade_workload_latency_target_seconds{{{_OF}}})", "{{workload}} target"),
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                stacked(
                    "Requests by workload",
                    "Requests a second.",
                    "reqps",
                    f"sum by (workload) (rate({_REQUESTS}}}[$__rate_interval]))",
                    "{{workload}}",
                ),
                stacked(
                    "Requests by tier",
                    "Requests a second by where they were answered; none without a place.",
                    "reqps",
                    f"sum by (tier) (rate({_REQUESTS}}}[$__rate_interval]))",
                    "{{tier}}",
                ),
                _counted("Requests by outcome", "Requests a second by how they ended.", "requests", "outcome"),
                lines(
                    "Latency by tier",
                    "Median and slowest hundredth, from a request's head to its answer.",
                    "s",
                    *middle_and_slowest(_SECONDS, "tier, le", "{{tier}} "),
                ),
            ),
        ),
        Row(
            "Inside the router",
            (
                lines(
                    "Free replicas",
                    "Credits: replicas that the queue's keeper knows to be free.",
                    "short",
                    (
                        f'sum by (workload, tier) (parkade_router_credits{{{_OF}, tier=~"$tier"}})',
                        "{{workload}} {{tier}}",
                    ),
                ),
                _counted(
                    "Attempts that missed",
                    "Attempts a second that another place had to repeat, by cause.",
                    "retries",
                    "cause",
                ),
                _counted(
                    "Second attempts", "Attempts a second beside a slow one, by how they ended.", "hedges", "outcome"
                ),
                _counted(
                    "Spot checks",
                    "Answers of cars a second that were compared with Triton's.",
                    "verifications",
                    "outcome",
                ),
                _counted(
                    "Passed on",
                    "Requests a second passed on to the router that keeps the queue.",
                    "forwarded",
                    "outcome",
                ),
                lines(
                    "Refused",
                    "Callers, cars and routers a second that were not let in. Empty while nobody is.",
                    "cps",
                    ("sum by (reason) (rate(parkade_router_refused_total[$__rate_interval]))", "caller: {{reason}}"),
                    ("sum by (reason) (rate(parkade_router_cars_refused_total[$__rate_interval]))", "car: {{reason}}"),
                    (
                        "sum by (reason) (rate(parkade_router_peers_refused_total[$__rate_interval]))",
                        "router: {{reason}}",
                    ),
                ),
            ),
        ),
    ),
)

"""The operator's cycle: does it lead, is it quick, how good is its plan."""

from dashboards.board import Board, Row, lines, middle_and_slowest, number, quantile

SOLVER = Board(
    "solver",
    "Parkade / Solver and cycle",
    "How the operator plans: one cycle reads, frames, solves, names, compares, checks again, applies and reports.",
    (),
    (
        Row(
            "Now",
            (
                number("Leaders", "Operators that hold the Lease; one is right.", "short", "sum(parkade_leading)"),
                number(
                    "Gap",
                    "How much dearer than the least possible the plan may be; 0 is proven optimal.",
                    "percentunit",
                    "max(parkade_plan_gap)",
                ),
                number(
                    "Event to applied",
                    "99 % of the changes of the last hour were applied within this time of the event that asked for them.",
                    "s",
                    quantile(0.99, "parkade_event_to_applied_seconds_bucket", over="1h"),
                ),
                number(
                    "Unreadable objects",
                    "Objects that are left out because they are not what their kind allows.",
                    "short",
                    "max(parkade_unreadable_objects)",
                ),
            ),
        ),
        Row(
            "Cycle",
            (
                lines(
                    "Cycles",
                    "Cycles a second by outcome; one is due every ten seconds though nothing changes.",
                    "cps",
                    ("sum by (outcome) (rate(parkade_cycles_total[$__rate_interval]))", "{{outcome}}"),
                ),
                lines(
                    "Phases, slowest hundredth",
                    "Seconds of each phase; all but apply should stay far below a second.",
                    "s",
                    (quantile(0.99, "parkade_cycle_phase_seconds_bucket", "phase, le"), "{{phase}}"),
                ),
                lines(
                    "Event to applied",
                    "Seconds from the first event until its changes were applied.",
                    "s",
                    *middle_and_slowest("parkade_event_to_applied_seconds_bucket"),
                ),
            ),
        ),
        Row(
            "Solver",
            (
                lines(
                    "Time of a solve",
                    "Seconds; a solve is cut short at PARKADE_SOLVE_SECONDS.",
                    "s",
                    *middle_and_slowest("parkade_solve_seconds_bucket"),
                ),
                lines(
                    "Cost and bound",
                    "Dollars an hour of the plan, and what no plan for these numbers can cost less than.",
                    "currencyUSD",
                    ("max(parkade_plan_cost_dollars_per_hour)", "plan"),
                    ("max(parkade_plan_bound_dollars_per_hour)", "bound"),
                ),
                lines(
                    "Gap",
                    "Relative distance of the two, after packing.",
                    "percentunit",
                    ("max(parkade_plan_gap)", "gap"),
                ),
            ),
        ),
        Row(
            "Operator",
            (
                lines(
                    "Processor",
                    "Cores that each operator uses.",
                    "short",
                    (
                        "rate(process_cpu_seconds_total[$__rate_interval]) and on (job, instance) parkade_leading",
                        "{{instance}}",
                    ),
                ),
                lines(
                    "Memory",
                    "Resident bytes of each operator.",
                    "bytes",
                    ("process_resident_memory_bytes and on (job, instance) parkade_leading", "{{instance}}"),
                ),
            ),
        ),
    ),
)

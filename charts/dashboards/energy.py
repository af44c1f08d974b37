"""Watts, grams and prices: modelled, since no car or server is asked for its meter."""

from dashboards.board import POOL, WORKLOAD, Board, Row, lines, number, stacked

_OF = '{workload=~"$workload"}'
_WATTS = f"max by (workload) (parkade_workload_watts{_OF})"
_GRAMS = f"max by (workload) (parkade_workload_carbon_grams_per_hour{_OF})"
_RATE = f"(sum by (workload) (rate(parkade_router_requests_total{_OF}[5m])) > 0)"

ENERGY = Board(
    "energy",
    "Parkade / Energy and carbon",
    "Power at the plug and at the datacenter's meter, above what would be used anyway. All figures are modelled.",
    (WORKLOAD, POOL),
    (
        Row(
            "Now",
            (
                number("Power", "Watts of the workloads chosen.", "watt", f"sum({_WATTS})"),
                number(
                    "Carbon an hour",
                    "Grams of CO2 an hour, by the marginal intensity of each region.",
                    "massg",
                    f"sum({_GRAMS})",
                ),
                number(
                    "Energy in this time",
                    "Kilowatt-hours over the time that is shown.",
                    "kwatth",
                    f"sum(avg_over_time(parkade_workload_watts{_OF}[$__range])) * $__range_s / 3.6e6",
                ),
                number(
                    "Carbon in this time",
                    "Grams of CO2 over the time that is shown.",
                    "massg",
                    f"sum(avg_over_time(parkade_workload_carbon_grams_per_hour{_OF}[$__range])) * $__range_s / 3600",
                ),
            ),
        ),
        Row(
            "By workload",
            (
                stacked("Power by workload", "Watts.", "watt", _WATTS, "{{workload}}"),
                stacked("Carbon an hour by workload", "Grams of CO2 an hour.", "massg", _GRAMS, "{{workload}}"),
                lines(
                    "Energy of a request",
                    "Joules, from the plan's watts and the requests that routers count; high when few requests come.",
                    "joule",
                    (f"{_WATTS} / {_RATE}", "{{workload}}"),
                ),
                lines(
                    "Carbon of a thousand requests",
                    "Grams of CO2.",
                    "massg",
                    (f"1000 * {_GRAMS} / 3600 / {_RATE}", "{{workload}}"),
                ),
            ),
        ),
        Row(
            "By pool",
            (
                lines(
                    "Price of a kilowatt-hour",
                    "Dollars a kilowatt-hour at the plug or the meter; negative prices are real.",
                    "currencyUSD",
                    ('max by (pool) (parkade_pool_energy_price_dollars_per_kwh{pool=~"$pool"})', "{{pool}}"),
                ),
                lines(
                    "Carbon of a kilowatt-hour",
                    "Marginal grams of CO2 a kilowatt-hour.",
                    "massg",
                    ('max by (pool) (parkade_pool_carbon_intensity_grams_per_kwh{pool=~"$pool"})', "{{pool}}"),
                ),
            ),
        ),
    ),
)

"""Cars: who is there, on whose word, what they say and what they are told."""

from dashboards.board import Board, Choice, Row, lines, middle_and_slowest, number, stacked

_CARS = 'parkade_vehicle_evidence{pool=~"$pool"'
_POOL = Choice("pool", "label_values(parkade_vehicle_evidence, pool)")

FLEET = Board(
    "fleet",
    "Parkade / Fleet",
    "Parked cars by pool as carlet sees them. Cars are counted and never named.",
    (_POOL,),
    (
        Row(
            "Now",
            (
                number(
                    "Cars here", "Cars that were heard within two beats.", "short", f'sum({_CARS}, presence="Here"}})'
                ),
                number(
                    "Cars silent",
                    "Cars that are not heard, and that no witness saw leave; they keep their replicas for a while.",
                    "short",
                    f'sum({_CARS}, presence="Silent"}}) or vector(0)',
                ),
                number(
                    "Cars gone",
                    "Cars that said that they leave, or that a witness saw leave, or that were silent for too long.",
                    "short",
                    f'sum({_CARS}, presence="Gone"}}) or vector(0)',
                ),
                number(
                    "Fleet link",
                    "1 while every carlet is connected to the link over which cars speak.",
                    "short",
                    "min(parkade_fleet_link_up)",
                ),
            ),
        ),
        Row(
            "Presence",
            (
                stacked(
                    "Cars by presence",
                    "All cars of the pools chosen.",
                    "short",
                    f"sum by (presence) ({_CARS}}})",
                    "{{presence}}",
                ),
                lines(
                    "Cars here by pool",
                    "Cars that can be given work.",
                    "short",
                    (f'sum by (pool) ({_CARS}, presence="Here"}})', "{{pool}}"),
                ),
                lines(
                    "On whose word",
                    "Whose word the presence of cars rests on: their own beat, the maker's telemetry, the charger's session.",
                    "short",
                    (f"sum by (presence, evidence) ({_CARS}}})", "{{presence}} by {{evidence}}"),
                ),
                lines(
                    "Changes of presence",
                    "Cars a second that came to a presence. A peak of Silent is a network, a peak of Gone is a morning.",
                    "cps",
                    (
                        'sum by (presence) (rate(parkade_vehicle_changes_total{pool=~"$pool"}[$__rate_interval]))',
                        "{{presence}}",
                    ),
                ),
            ),
        ),
        Row(
            "Link",
            (
                lines(
                    "Messages from cars",
                    "Messages a second by outcome; whatever is not accepted or outdated was dropped as not understood.",
                    "cps",
                    ("sum by (outcome) (rate(parkade_fleet_messages_total[$__rate_interval]))", "{{outcome}}"),
                ),
                lines(
                    "Orders to cars",
                    "Desired sets a second that were sent to cars.",
                    "cps",
                    ("sum(rate(parkade_fleet_orders_total[$__rate_interval]))", "orders"),
                ),
                lines(
                    "Messages from makers and chargers",
                    "Messages a second of witnesses by outcome. Empty where no witness is connected.",
                    "cps",
                    (
                        "sum by (source, outcome) (rate(parkade_witness_messages_total[$__rate_interval]))",
                        "{{source}} {{outcome}}",
                    ),
                ),
                lines(
                    "Credentials",
                    "Answers a second to cars that asked for credentials, by way; without a reason they were granted.",
                    "cps",
                    (
                        "sum by (way, reason) (rate(parkade_fleet_credentials_total[$__rate_interval]))",
                        "{{way}} {{reason}}",
                    ),
                ),
                lines(
                    "Models to cars",
                    "Bytes of models a second that cars fetch.",
                    "Bps",
                    ("sum(rate(parkade_model_bytes_total[$__rate_interval]))", "bytes"),
                ),
            ),
        ),
        Row(
            "carlet",
            (
                lines(
                    "One pass over the fleet",
                    "Seconds that carlet takes to look at every cell and car.",
                    "s",
                    *middle_and_slowest("parkade_carlet_cycle_seconds_bucket"),
                ),
                lines(
                    "Writes of cells",
                    "Writes of VehicleCell status a second by outcome.",
                    "cps",
                    ("sum by (outcome) (rate(parkade_cell_writes_total[$__rate_interval]))", "{{outcome}}"),
                ),
                lines(
                    "Certificates end in",
                    "Time until the certificates end that carlet read at its start; a new one needs a restart.",
                    "s",
                    ("min by (use) (parkade_certificate_expiration_timestamp_seconds) - time()", "{{use}}"),
                ),
            ),
        ),
    ),
)

"""The only room that talks to the API server: one file a verb, JSON turned into frozen values at its edge.

It decides nothing: `reading` gathers facts, `applying` carries out what `changes` decided, `recording` writes events
and `leading` holds the Lease. Every failure leaves as `ClusterUnavailable` (try again) or `ClusterRefused` (the API
server's own sentence); no dictionary of the wire leaves this room.
"""

from parkade.cluster.applying import Applying
from parkade.cluster.client import ClusterClient, TokenBucket
from parkade.cluster.credentials import control_headers, storage_options
from parkade.cluster.following import Following
from parkade.cluster.leading import Leadership
from parkade.cluster.reading import ClusterFacts, Lists, Source, read, refresh, selected_pods
from parkade.cluster.recording import Recorder
from parkade.cluster.views import Unreadable

__all__ = [
    "Applying",
    "ClusterClient",
    "ClusterFacts",
    "Following",
    "Leadership",
    "Lists",
    "Recorder",
    "Source",
    "TokenBucket",
    "Unreadable",
    "control_headers",
    "read",
    "refresh",
    "selected_pods",
    "storage_options",
]

"""The only room that talks to Triton servers, to model sources, and to routers about what they observed.

It gathers facts about both (`probe`, `ModelStore.stage`) and carries out what was decided elsewhere (`load`, `unload`,
`ModelRepository`). It decides nothing, knows no Kubernetes object, and never retries a refusal: a model that a server
rejects is reported with the server's own sentence.
"""

from parkade.serving.repository import ModelRepository
from parkade.serving.routers import read_observed
from parkade.serving.store import ModelStore
from parkade.serving.triton import Endpoint, ServedModel, load, probe, unload

__all__ = ["Endpoint", "ModelRepository", "ModelStore", "ServedModel", "load", "probe", "read_observed", "unload"]

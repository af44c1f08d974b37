"""Every Reason that a condition, a placement or an event can carry, with the sentence that says the remedy."""

from enum import StrEnum
from string import Formatter
from typing import Self


class Reason(StrEnum):
    """One word for programs; `say` makes the sentence for people."""

    template: str
    """The sentence, with `{facts}` that `say` fills in."""

    def __new__(cls, word: str, template: str) -> Self:
        """Keep the sentence beside the word."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.template = template
        return member

    @property
    def facts(self) -> tuple[str, ...]:
        """Names of the facts that the sentence needs, in order."""
        names = (name for _, name, _, _ in Formatter().parse(self.template) if name)
        return tuple(dict.fromkeys(names))

    def say(self, **facts: object) -> str:
        """Make the sentence.

        Raises:
            KeyError: a fact that the sentence needs is missing.
        """
        return self.template.format(**facts)

    # why a replica is at its place
    CHEAPEST_PLACE = "CheapestPlace", "{place} is the cheapest place that meets the target"
    ONLY_PLACE = "OnlyPlace", "{place} is the only place that may run it now; to compare prices, mend: {causes}"
    KEPT_IN_PLACE = "KeptInPlace", "{place} already holds the model, and moving would cost more than it saves"
    KEEPS_FALLBACK = "KeepsFallback", "{place} stays warm for the moment in which cars leave"
    CHEAPER_PLACE_FULL = "CheaperPlaceFull", "cheaper places are full; {place} takes the rest"
    SPREAD_REQUIRED = "SpreadRequired", "placement.spread asks for another region than the cheapest; {place} is there"
    MIN_REPLICAS = "MinReplicas", "placement.minReplicas asks for more replicas than the demand does"
    LATE_BUT_SERVED = (
        "LateButServed",
        "no place meets {target}; {place} comes nearest with {expected}: raise latency.target or allow more places",
    )

    # why a place cannot be used by a workload
    TIER_NOT_ALLOWED = "TierNotAllowed", "placement.tiers leaves out {tier}; add it to use {place}"
    JURISDICTION_NOT_ALLOWED = (
        "JurisdictionNotAllowed",
        "{place} is under the law of {jurisdiction}; add it to placement.jurisdictions to use it",
    )
    UNKNOWN_REGION = "UnknownRegion", "no Region is named {region}; apply one or correct the name"
    UNKNOWN_HARDWARE = (
        "UnknownHardware",
        "no pool declares the hardware {hardware}; use one of {known}, or apply a pool that has it",
    )
    FLEET_NOT_TRUSTED = "FleetNotTrusted", "trust.fleets leaves out {fleet}; add it to use {place}"
    NO_PROFILE = "NoProfile", "model.profiles has no entry for {hardware}; measure the model there and add one"
    NO_ARTIFACT = "NoArtifact", "no artifact is made for {hardware}; add one, or one for '*'"
    FORMAT_NOT_SUPPORTED = "FormatNotSupported", "{place} cannot run the format {format}; add an onnx artifact"
    MODEL_TOO_LARGE = (
        "ModelTooLarge",
        "the model needs {needed} of memory and {place} has {available}; make it smaller or use larger hardware",
    )
    PAYLOAD_TOO_LARGE = (
        "PayloadTooLarge",
        "a request of {request} is over 8Mi and cannot be tried again at another car; only the Datacenter serves it",
    )
    LINK_NOT_ALLOWED = "LinkNotAllowed", "the pool's contract leaves out {link}; add it to contract.links to use it"
    NO_VEHICLES = "NoVehicles", "{place} has no car that may work now; see its VehicleNodePool's status.vehicles"
    NO_SERVERS = (
        "NoServers",
        "{place} has no Triton server that answers, or keepFree keeps them all now; see the TritonPool's conditions",
    )
    SERVERS_NOT_COUNTED = (
        "ServersNotCounted",
        "endpoints.selector finds servers in a cluster only, so none is planned with; list endpoints.urls to add some",
    )
    TOO_SLOW = "TooSlow", "{place} answers in {expected} at best and the target is {target}; raise latency.target"

    # why a workload is not planned, or not in full
    SUSPENDED = "Suspended", "spec.suspend is true; set it to false to serve again"
    BEING_DELETED = "BeingDeleted", "the workload is being deleted; its models are unloaded first"
    MODEL_NAME_TAKEN = "ModelNameTaken", "{owner} already serves a model named {model}; choose another model.name"
    INVALID_VALUES = "InvalidValues", "{problem}; correct the manifest and apply it again"
    BATCH_NOT_SUPPORTED = "BatchNotSupported", "this release does not work on spec.batch yet; use demand and latency"
    NO_DEMAND = (
        "NoDemand",
        "nobody asked for an hour and minReplicas is 0; the first request brings a replica, or set spec.demand",
    )
    NO_PLACE = "NoPlace", "no place may run it; mend one of these: {causes}"
    NOT_ENOUGH_CAPACITY = (
        "NotEnoughCapacity",
        "{short} of {quantity} finds no free place that is worth its cost; add cars or servers, or raise the priority",
    )
    NOT_ENOUGH_SPARE = (
        "NotEnoughSpare",
        "{short} of {quantity} has no place while cars that leave together are replaced; add cars or servers",
    )
    NOT_ENOUGH_PLACES = "NotEnoughPlaces", "{short} of {quantity} finds no further place; allow or add more regions"
    NOT_PACKED = "NotPacked", "{short} of {quantity} fits no single car or server; make the model smaller"

    # models on their way
    FETCHING = "Fetching", "{place} is fetching the model; wait, or look at its log if this stays"
    LOADING = "Loading", "{place} is loading the model; wait, or look at its log if this stays"
    DRAINING = "Draining", "{place} finishes its last requests and lets the model go"
    ARTIFACT_FAILED = (
        "ArtifactFailed",
        "the artifact {source} cannot be used: {problem}; mend it and apply the workload again",
    )
    SOURCE_UNAVAILABLE = (
        "SourceUnavailable",
        "{source} cannot be fetched: {problem}; mend the URL, the network or secretRef; it is tried again",
    )
    DIGEST_MISMATCH = (
        "DigestMismatch",
        "{source} has sha256 {found} and the manifest names {named}; correct the one that is wrong",
    )
    MODEL_REJECTED = "ModelRejected", "{place} cannot load the model: {problem}; mend the file and its sha256"
    TRITON_UNAVAILABLE = (
        "TritonUnavailable",
        "{server} does not answer: {problem}; start it or correct the TritonPool's endpoints; it is tried again",
    )

    # cars
    LEAVING = "Leaving", "the car announced that it leaves; its work goes elsewhere"
    NOT_PLUGGED_IN = (
        "NotPluggedIn",
        "the owner's contract wants a plug; plug the car in or set requirePluggedIn to false",
    )
    CHARGE_TOO_LOW = "ChargeTooLow", "the battery is at {charge} % and must be at {least} %; let it charge"
    PAUSED = "Paused", 'paused; resume it in the car, or set paused to "false" in the ConfigMap parkade-settings'
    QUIET_HOURS = "QuietHours", "the owner's quiet hours are on; the car wakes up after them"
    TOO_HOT = "TooHot", "the car's computer is too hot to work; let it cool down, or raise maxCelsius in the car"
    TOO_COLD = "TooCold", "the car's computer is too cold to work; wait, or lower minCelsius in the car"
    RANGE_SPENT = (
        "RangeSpent",
        "the range that work may cost in 24 hours is spent; plug the car in, or raise maxRangeLossPerDay",
    )
    DATA_CAP_REACHED = (
        "DataCapReached",
        "the bytes that work may carry in 24 hours are carried; wait, or raise dataCapPerDay",
    )
    PRICE_UNKNOWN = (
        "PriceUnknown",
        "the owner named a price for electricity and the pool tells none; set energyPrice.perKWh in the pool",
    )
    PRICE_TOO_LOW = (
        "PriceTooLow",
        "the pool pays less for electricity than it costs the owner; raise energyPrice.perKWh in the pool",
    )
    OWNER_TERMS_LOST = "OwnerTermsLost", "the owner's terms were damaged in the car; only the owner resumes it"
    NOTEBOOK_FAILS = "NotebookFails", "the car cannot write down what it spends; free or mend its disk"
    DEPARTING_SOON = "DepartingSoon", "the owner leaves soon; the car is idle until then"
    LOOSER_THAN_CONTRACT = "LooserThanContract", "the order is looser than the owner's contract; tighten the pool's"
    NOT_ENOUGH_MEMORY = "NotEnoughMemory", "the car has no memory left for the model; lower replicas or model.memory"
    WAITING_FOR_URL = "WaitingForUrl", "the model is not staged yet; the car asks again when it is"
    DISK_FULL = "DiskFull", "the car's model store is full; let models go or give it more room"
    LOAD_CRASHED = (
        "LoadCrashed",
        "the agent ended three times while it loaded the model; order another artifact, or update it",
    )
    ROUTER_UNAVAILABLE = "RouterUnavailable", "the car cannot reach its router; check the router and the car's link"
    INTERNAL_ERROR = "InternalError", "something broke that should not; see the log and report it"
    ANSWERS_REJECTED = (
        "AnswersRejected",
        "several answers of the car in a row could not be used; update or remove its agent",
    )
    ANSWERS_DISAGREE = (
        "AnswersDisagree",
        (
            "cars answer what Triton does not compute (spot checks that disagreed: {count}); those cars are kept away"
            " for a while: update or remove their agents"
        ),
    )
    WAITING_FOR_VEHICLES = "WaitingForVehicles", "{ready} of {desired} replicas are ready; cars are loading or away"
    WAITING_FOR_SERVERS = "WaitingForServers", "{ready} of {desired} replicas are ready; servers are loading"
    WAITING_FOR_ROUTER = "WaitingForRouter", "no router is alive to take requests; start parkade-router"

    # conditions as a whole
    PLACED = "Placed", "{replicas} replicas at {places} places"
    READY = "Ready", "{replicas} replicas answer"
    TARGET_MET = "TargetMet", "expected {expected} at p{percentile} and the target is {target}"
    TARGET_MISSED = "TargetMissed", "expected {expected} at p{percentile} and the target is {target}; raise it"
    ALL_FIELDS_HONOURED = "AllFieldsHonoured", "every field that is set is acted on"
    FIELDS_NOT_HONOURED = (
        "FieldsNotHonoured",
        "accepted, but not acted on in this release: {fields}; remove them or wait for a later release",
    )
    OBSERVING = "Observing", "mode is Observe: planned and shown, nothing is changed; set it to Apply to act"
    NOT_PLANNED_YET = "NotPlannedYet", "the next planning cycle looks at it; wait a few seconds"

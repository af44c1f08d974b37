"""Every Reason has a sentence, and the sentence of a trouble says what to do."""

import re

import pytest

from parkade.api import Reason

FINE = {
    Reason.CHEAPEST_PLACE,
    Reason.KEPT_IN_PLACE,
    Reason.KEEPS_FALLBACK,
    Reason.CHEAPER_PLACE_FULL,
    Reason.SPREAD_REQUIRED,
    Reason.MIN_REPLICAS,
    Reason.PLACED,
    Reason.READY,
    Reason.TARGET_MET,
    Reason.ALL_FIELDS_HONOURED,
}
"""Nothing is wrong, so nothing is to be done."""

GOES_BY_ITSELF = {
    Reason.BEING_DELETED: "first",
    Reason.DRAINING: "finishes",
    Reason.LEAVING: "goes elsewhere",
    Reason.QUIET_HOURS: "after them",
    Reason.DEPARTING_SOON: "until then",
    Reason.WAITING_FOR_URL: "asks again",
    Reason.WAITING_FOR_VEHICLES: "loading",
    Reason.WAITING_FOR_SERVERS: "loading",
}
"""Ends without anybody's help, and the sentence says how."""

VERBS = re.compile(
    r"\b(add|allow|apply|check|choose|correct|let|lower|make|measure|mend|plug|raise|remove|report|resume[s]?|see|set|"
    r"start|tighten|update|use|wait|only the Datacenter)\b"
)


@pytest.mark.parametrize("reason", Reason)
def test_the_sentence_is_whole(reason: Reason) -> None:
    sentence = reason.say(**dict.fromkeys(reason.facts, "FACT"))
    assert sentence.count("FACT") >= len(reason.facts)
    assert "{" not in sentence
    assert not sentence.endswith((".", ";", ":"))
    assert 10 < len(sentence) < 200


@pytest.mark.parametrize("reason", Reason)
def test_the_word_fits_a_condition(reason: Reason) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z]{2,40}", reason)
    assert reason.name.replace("_", "").lower() == reason.value.lower()


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in FINE])
def test_the_sentence_of_a_trouble_says_the_remedy(reason: Reason) -> None:
    if reason in GOES_BY_ITSELF:
        assert GOES_BY_ITSELF[reason] in reason.template
    else:
        assert VERBS.search(reason.template)


def test_a_missing_fact_is_not_papered_over() -> None:
    with pytest.raises(KeyError, match="model"):
        Reason.MODEL_NAME_TAKEN.say(owner="vision/a")

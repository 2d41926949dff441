"""Names: what is a label, what a host names in a zone, and that no name has a second spelling."""

import re
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.core.base.ids import Label
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.route.name import (
    LabelFault,
    NoSuchLabel,
    NotALabel,
    NotInZone,
    describe,
    label_of,
    name_in_zone,
    random_label,
)

ANY_TEXT: Final = st.one_of(
    st.text(st.characters(categories=None), max_size=70),
    st.text("aZ0-_.\u212a\u017f ", max_size=70),
    st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,70}[A-Za-z0-9])?", fullmatch=True),
)
ZONE: Final = "tunnel.example"


@pytest.mark.shows("ROUTE-NAME-001", "ROUTE-NAME-002")
@given(ANY_TEXT)
@example("a" * 63)
@example("a" * 64)
@example("a\n")
@example("\u212a")  # KELVIN SIGN, whose lower case is k
@example("\u017f")  # LATIN SMALL LETTER LONG S, whose upper case is S
@example("İ")
def test_a_label_is_letters_digits_and_inner_hyphens(text: str) -> None:
    is_label = re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", text) is not None
    label = label_of(text)
    assert isinstance(label, Success) == is_label
    if isinstance(label, Success):
        assert value_of(label) == text.lower()
        assert label_of(value_of(label)) == label_of(text.upper()) == label


@pytest.mark.bug("B12")
@pytest.mark.shows("ROUTE-NAME-001", "ROUTE-NAME-002")
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", LabelFault.EMPTY),
        ("a" * 64, LabelFault.TOO_LONG),
        ("é" * 64, LabelFault.TOO_LONG),
        ("a.b", LabelFault.CHARACTER),
        ("demo.", LabelFault.CHARACTER),
        ("demo:80", LabelFault.CHARACTER),
        ("a_b", LabelFault.CHARACTER),
        ("a b", LabelFault.CHARACTER),
        ("a\n", LabelFault.CHARACTER),
        ("*", LabelFault.CHARACTER),
        ("\u212a", LabelFault.CHARACTER),
        ("bücher", LabelFault.CHARACTER),
        ("-a", LabelFault.HYPHEN),
        ("a-", LabelFault.HYPHEN),
        ("-", LabelFault.HYPHEN),
    ],
)
def test_what_is_no_label_is_told_why(text: str, fault: LabelFault) -> None:
    error = NotALabel(text[:64], fault)
    assert label_of(text) == Failure(error)
    assert fault.value in describe(error)


@pytest.mark.bug("B12")
@pytest.mark.shows("ROUTE-NAME-003")
def test_punycode_is_its_own_letters() -> None:
    assert label_of("XN--BCHER-KVA") == Success("xn--bcher-kva")
    assert label_of("xn--bcher-kva") != label_of("xn--bcher-kvb")
    assert label_of("xn--") == Failure(NotALabel("xn--", LabelFault.HYPHEN))
    assert label_of("xn--a") == Success("xn--a")


@pytest.mark.bug("B12")
@pytest.mark.shows("ROUTE-NAME-004")
@pytest.mark.parametrize("host", ["demo.tunnel.example", "DEMO.tunnel.example", "demo.TUNNEL.Example"])
def test_every_case_of_a_host_names_the_same(host: str) -> None:
    assert name_in_zone(host, ZONE) == Success("demo")


@pytest.mark.bug("B12")
@pytest.mark.shows("ROUTE-NAME-004")
@pytest.mark.parametrize(
    "host",
    [
        *["tunnel.example", "TUNNEL.example", "a.b.tunnel.example", ".tunnel.example", "a_b.tunnel.example"],
        *["-.tunnel.example", "a..tunnel.example", "a" * 64 + ".tunnel.example"],
    ],
)
def test_a_host_in_the_zone_that_is_nobodys(host: str) -> None:
    assert name_in_zone(host, ZONE) == Failure(NoSuchLabel(host))


@pytest.mark.shows("ROUTE-NAME-004")
@pytest.mark.parametrize(
    "host",
    [
        *["", "demo", "demo.example", "xtunnel.example", "demo.xtunnel.example", "demo.tunnel.example."],
        *["tunnel.example.evil", "demo.tunnel.example:80", "[::1]", "demo.\u212aunnel.example", "demé.tunnel.example"],
    ],
)
def test_a_host_outside_the_zone(host: str) -> None:
    assert name_in_zone(host, ZONE) == Failure(NotInZone(host))


@pytest.mark.bug("B12")
@pytest.mark.shows("ROUTE-NAME-002")
def test_a_kelvin_sign_is_no_k_in_the_zone_either() -> None:
    assert name_in_zone("demo.\u212a.example", "k.example") == Failure(NotInZone("demo.\u212a.example"))
    assert name_in_zone("\u212a.k.example", "k.example") == Failure(NotInZone("\u212a.k.example"))


@pytest.mark.shows("ROUTE-NAME-004")
@given(ANY_TEXT, st.sampled_from(["", ".", "tunnel.example", ".tunnel.example", "x.tunnel.example", "TUNNEL.EXAMPLE"]))
def test_exactly_one_label_deep(ahead: str, behind: str) -> None:
    host = f"{ahead}{behind}"
    found = name_in_zone(host, ZONE)
    whole = re.fullmatch(r"(.*)\.tunnel\.example", host, re.IGNORECASE | re.ASCII | re.DOTALL)
    is_named = whole is not None and isinstance(label_of(whole.group(1)), Success)
    assert isinstance(found, Success) == is_named
    if isinstance(found, Success):
        assert whole is not None
        assert found == label_of(whole.group(1))
    else:
        assert describe(error_of(found))


@given(st.text(), st.text())
def test_any_host_and_any_zone_have_an_answer(host: str, zone: str) -> None:
    found = name_in_zone(host, zone)
    assert not isinstance(found, Success) or f"{value_of(found)}.{zone}" == host.lower()


@pytest.mark.shows("ROUTE-NAME-005")
@given(st.binary(max_size=60))
def test_a_random_label_is_a_label_made_of_its_entropy(entropy: bytes) -> None:
    label = random_label(entropy)
    assert label_of(label) == Success(label)
    assert 8 <= len(label) <= 63
    assert set(label) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert random_label(entropy) == label


@pytest.mark.shows("ROUTE-NAME-005")
@given(st.binary(min_size=5, max_size=39), st.binary(min_size=5, max_size=39))
def test_different_entropy_makes_different_labels(one: bytes, other: bytes) -> None:
    assert (random_label(one) == random_label(other)) == (one == other)


def test_random_labels_by_example() -> None:
    assert random_label(b"") == Label("aaaaaaaa")
    assert random_label(bytes(range(8))) == Label("aaaqeayeaudao")

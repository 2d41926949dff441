"""The total forms that records in databases and files need: storable texts, JSON objects, hexadecimal digits."""

import json
import sqlite3
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.core.base.partial import hex_bytes, json_fields, storable_text

ANY_TEXT: Final = st.text(st.characters(categories=None), max_size=40)  # with lone surrogates and controls
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(ANY_TEXT, st.integers(-1, 50))
@example("a\x00b\ud800c\udfff", 9)
def test_a_storable_text_comes_back_from_a_database(text: str, limit: int) -> None:
    held = storable_text(text, limit)
    assert len(held) == min(len(text), max(limit, 0))
    assert storable_text(held, limit) == held
    for mine, given_one in zip(held, text, strict=False):
        assert mine == ("\ufffd" if given_one == "\x00" or "\ud800" <= given_one <= "\udfff" else given_one)
    with sqlite3.connect(":memory:") as database:
        assert database.execute("SELECT ?", (held,)).fetchone() == (held,)
    database.close()


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_a_json_object_is_read(fields: dict[str, object]) -> None:
    assert json_fields(json.dumps(fields).encode()) == fields


@given(
    st.binary() | JSON.filter(lambda value: not isinstance(value, dict)).map(lambda value: json.dumps(value).encode())
)
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"a":1')
@example(b'{"a":' + b"9" * 5000 + b"}")
@example(b'{"a":"\xff"}')
def test_what_is_no_json_object_is_none(data: bytes) -> None:
    read = json_fields(data)
    assert read is None or json.loads(data) == read


@given(st.binary())
def test_hexadecimal_digits_are_read_back(data: bytes) -> None:
    assert hex_bytes(data.hex()) == data == hex_bytes(data.hex().upper())


@given(ANY_TEXT | st.text("0123456789abcdefABCDEF \n", max_size=8))
@example("0")
@example("00 00")
@example("00\n")
@example("\u0660\u0660")
def test_other_digits_are_none(text: str) -> None:
    data = hex_bytes(text)
    assert data is None or data.hex() == text.lower()

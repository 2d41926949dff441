"""The pages of the sample site: templates beside this file, filled with escaped text."""

from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

_PAGES: Final = files("tunnel.demo") / "pages"


@cache
def asset(name: str) -> str:
    """The text of a file in `pages/`, read once."""
    return (_PAGES / name).read_text(encoding="utf-8")


def page(title: str, name: str, texts: Mapping[str, str], markup: Mapping[str, str] | None = None) -> str:
    """A whole document: template `name` with `texts` escaped and `markup` as it is, inside the layout."""
    body = fragment(name, texts, markup)
    return Template(asset("layout.html")).substitute(title=escape(title), body=body)


def fragment(name: str, texts: Mapping[str, str], markup: Mapping[str, str] | None = None) -> str:
    """Template `name` alone, filled the same way."""
    filled = {key: escape(text) for key, text in texts.items()} | dict(markup or {})
    return Template(asset(name)).substitute(filled)


def table_rows(fields: Iterable[tuple[str, str]]) -> str:
    """One escaped table row for each field, in the order they arrived."""
    return "\n".join(f"      <tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in fields)

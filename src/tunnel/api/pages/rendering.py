"""Records into HTML: one Jinja environment that escapes everything and refuses what it does not know.

A page's live parts are blocks of its own template whose names begin with `live_`: the same markup is sent whole with
the page and piece by piece as it changes.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from tunnel.api.pages import figures
from tunnel.api.pages.plots import BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH
from tunnel.api.pages.visit import Page, Viewer, Visit
from tunnel.core.control.roles import Scope

STATIC: Final = Path(__file__).parent / "static"
LIVE_PREFIX: Final = "live_"


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """One way of the navigation."""

    path: str
    text: str
    is_here: bool


@final
@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    text: str
    scope: Scope
    keeps_account: bool = True


_PLACES: Final = (
    _Place("/", "Overview", Scope.ACCOUNT_READ, keeps_account=False),
    _Place("/accounts", "Accounts", Scope.OPERATE, keeps_account=False),
    _Place("/sessions", "Sessions", Scope.SESSION_READ, keeps_account=False),
    _Place("/endpoints", "Endpoints", Scope.SESSION_READ, keeps_account=False),
    _Place("/tokens", "Tokens", Scope.TOKEN_READ),
    _Place("/names", "Names", Scope.NAME_READ),
    _Place("/usage", "Usage", Scope.USAGE_READ),
    _Place("/people", "Members and keys", Scope.ACCOUNT_READ),
    _Place("/audit", "Audit", Scope.AUDIT_READ),
)


@final
@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around every page; without a viewer, a page that stands alone."""

    viewer: Viewer | None
    visit: Visit | None
    csrf: str
    notice: str
    live: str

    def entries(self) -> tuple[Entry, ...]:
        """Where this viewer can go: what they may not see is not offered."""
        if self.viewer is None or self.visit is None:
            return ()
        viewer, visit = self.viewer, self.visit
        return tuple(
            Entry(
                visit.link(place.path) if place.keeps_account else place.path,
                place.text,
                _is_within(visit.path, place.path),
            )
            for place in _PLACES
            if viewer.may(place.scope)
        )

    def may(self, scope: str) -> bool:
        """Whether to show what needs this right, by the right's name."""
        return self.viewer is not None and self.viewer.may(Scope(scope))

    def link(self, path: str, **query: str) -> str:
        """As `Visit.link`."""
        return self.visit.link(path, **query) if self.visit is not None else path


@cache
def asset_version(name: str) -> str:
    """A short digest of a static file, so that a browser may keep it for ever under this address."""
    return sha256((STATIC / name).read_bytes()).hexdigest()[:12]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("tunnel.api.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update({
        "count": figures.count,
        "size": figures.size,
        "ms": figures.milliseconds,
        "moment": figures.moment,
        "machine": figures.machine_moment,
        "since": figures.since,
        "short": figures.short,
    })  # fmt: skip
    made.globals["asset"] = asset_version
    made.globals["box"] = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "bottom": BOTTOM}
    made.globals["ui"] = made.get_template("ui.html").module
    return made


def render(page: Page, frame: Frame) -> str:
    """The whole document."""
    return _environment().get_template(page.template).render(_context(page, frame))


def live_parts(page: Page, frame: Frame) -> dict[str, str]:
    """The live parts alone, by the identifier of the element that each fills."""
    template: Template = _environment().get_template(page.template)
    context = template.new_context(_context(page, frame))
    return {name: "".join(block(context)) for name, block in template.blocks.items() if name.startswith(LIVE_PREFIX)}


def has_live_parts(page: Page) -> bool:
    """Whether anything on the page changes by itself."""
    return any(name.startswith(LIVE_PREFIX) for name in _environment().get_template(page.template).blocks)


def _context(page: Page, frame: Frame) -> dict[str, object]:
    return {
        "title": page.title,
        "page": page.record,
        "frame": frame,
        "wrong": dict(page.wrong),
        "values": dict(page.values),
    }


def _is_within(path: str, place: str) -> bool:
    return path == place or (place != "/" and path.startswith(place + "/"))

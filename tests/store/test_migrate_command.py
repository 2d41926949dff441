"""`tunnel migrate`, typed as people type it: what it prints, what it changes, and its exit code."""

import sqlite3

import pytest
from tests.support.store_world import Place

from tunnel.cli.exits import ExitCode
from tunnel.cli.main import run
from tunnel.store.migrating import migrations_of

KNOWN = len(migrations_of("sqlite"))


def typed(place: Place, *more: str) -> ExitCode:
    """The exit code; the URL has no password, so that it may be typed."""
    database = ("--database", place.url) if place.url else ()
    return run(["migrate", "--state", str(place.state), *database, *more], {})


@pytest.mark.shows("STORE-MIGRATE-006")
def test_a_check_changes_nothing_and_a_migration_leaves_nothing_pending(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert typed(place, "--check") is ExitCode.UNCHANGED
        assert capsys.readouterr().out.count("pending") == KNOWN
    assert typed(place) is ExitCode.OK
    assert capsys.readouterr().out.count("applied now") == KNOWN
    assert typed(place) is ExitCode.OK
    assert capsys.readouterr().out.count("applied before") == KNOWN
    assert typed(place, "--check") is ExitCode.OK
    assert "pending" not in capsys.readouterr().out


@pytest.mark.shows("STORE-MIGRATE-004", "STORE-MIGRATE-006")
def test_a_database_of_another_program_is_left_alone(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    if place.kind != "sqlite":
        return
    assert typed(place) is ExitCode.OK
    with sqlite3.connect(place.state / "control.db") as file:
        file.execute("INSERT INTO migrations VALUES (9000, 'from_later', 'sum', 1)")
    file.close()
    for more in ((), ("--check",)):
        assert typed(place, *more) is ExitCode.USAGE
        assert "9000 (from_later)" in capsys.readouterr().err


def test_a_database_that_is_away_or_none_is_said_to_be(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    state = ["migrate", "--state", str(place.state)]
    for more in ([], ["--check"]):
        assert run([*state, *more, "--database", "postgresql://me@127.0.0.1:1/x"], {}) is ExitCode.NETWORK
        assert "Connection refused" in capsys.readouterr().err
    exported = ["audit", "export", "--state", str(place.state), "--database", "postgresql://me@127.0.0.1:1/x"]
    assert run(exported, {}) is ExitCode.NETWORK
    assert "Connection refused" in capsys.readouterr().err
    assert run([*state, "--database", "mysql://me@host/x"], {}) is ExitCode.USAGE
    assert "postgresql://USER@HOST" in capsys.readouterr().err

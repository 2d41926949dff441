"""Who a server is to a database that it shares: one ID for a state directory, whoever asks first, and never a guess."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.drive.clock import SystemEntropy
from tunnel.drive.files import CannotUse
from tunnel.drive.server_id import SERVER_ID, server_id


@pytest.mark.shows("STORE-NAME-005")
def test_a_directory_keeps_its_id_and_another_has_another(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: server_id(ours, SystemEntropy()), range(16)))
    assert told == [told[0]] * 16
    assert isinstance(told[0], Success)
    assert len(bytes.fromhex(value_of(told[0]))) == 16
    assert stat.S_IMODE((ours / SERVER_ID).stat().st_mode) == 0o600
    assert server_id(theirs, SystemEntropy()) not in told


@pytest.mark.shows("STORE-NAME-005")
@pytest.mark.parametrize("content", ["", "host-a\n", "0" * 31, "A" * 32, "0" * 32 + "\n\n", "\u00e9" * 16])
def test_what_is_no_id_is_refused_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    (tmp_path / SERVER_ID).write_text(content)
    (tmp_path / SERVER_ID).chmod(0o600)
    told = server_id(tmp_path, SystemEntropy())
    assert not isinstance(told, Success)
    assert isinstance(error_of(told), CannotUse)
    assert (tmp_path / SERVER_ID).read_text() == content


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert not isinstance(server_id(tmp_path / "none", SystemEntropy()), Success)

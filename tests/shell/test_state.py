"""The state directory, on a real file system: what is made, what is kept, what is refused, and who wins a race.

Certificates are judged by what they are for: TLS handshakes of the standard library, in memory, that verify or do not.
"""

import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.drive.files import CannotUse, TooOpen
from tunnel.drive.keys import Damaged, SigningKey
from tunnel.server.state import (
    AuthorityEnded,
    Identity,
    KeyLost,
    StateError,
    describe,
    names_served,
    server_identity,
    signing_key,
)

NOW: Final = UnixSeconds(1_795_000_000)
DAY: Final = 24 * 3600
NAMES: Final = ("example.com", "*.example.com", "localhost", "127.0.0.1", "::1")


def identity_in(directory: Path, now: int = NOW, names: tuple[str, ...] = NAMES) -> Identity:
    made = server_identity(directory, names, UnixSeconds(now))
    assert isinstance(made, Success), made
    return value_of(made)


def key_in(directory: Path) -> SigningKey:
    made = signing_key(directory)
    assert isinstance(made, Success), made
    return value_of(made)


def failure_of(outcome: Outcome[Identity, StateError] | Outcome[SigningKey, StateError]) -> StateError:
    assert isinstance(outcome, Failure), outcome
    return error_of(outcome)


def handshake(identity: Identity, server_name: str) -> None:
    """Both ends of one TLS 1.3 handshake in memory; raises what the client would see."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(identity.chain)
    client_side = ssl.create_default_context(cafile=str(identity.authority))
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(down, up, server_hostname=server_name)
    server = server_side.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() == "TLSv1.3"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.shows("OPS-STATE-001")
def test_everything_is_made_with_the_narrowest_mode(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "state"
    assert key_in(directory).is_new
    identity = identity_in(directory)
    assert mode_of(directory) == 0o700
    assert {path.name: mode_of(path) for path in directory.iterdir()} == {
        "token-signing.key": 0o600,
        "ca.key": 0o600,
        "ca.pem": 0o644,
        "server.pem": 0o600,
    }
    assert identity == Identity(directory / "server.pem", directory / "ca.pem")


@pytest.mark.shows("OPS-STATE-002")
def test_a_second_opening_changes_no_byte(tmp_path: Path) -> None:
    first_key = key_in(tmp_path / "s")
    identity_in(tmp_path / "s")
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    second_key = key_in(tmp_path / "s")
    identity_in(tmp_path / "s", NOW + 50 * DAY)
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before
    assert second_key == SigningKey(first_key.private, is_new=False)


@pytest.mark.shows("OPS-STATE-001")
def test_the_signing_key_is_an_ordinary_pem_key(tmp_path: Path) -> None:
    held = key_in(tmp_path)
    key = serialization.load_pem_private_key((tmp_path / "token-signing.key").read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    assert key.private_bytes_raw() == held.private


@pytest.mark.shows("OPS-STATE-003")
@pytest.mark.parametrize("name", ["example.com", "demo.example.com", "localhost", "127.0.0.1", "::1"])
def test_a_client_that_trusts_ca_pem_verifies_the_server(tmp_path: Path, name: str) -> None:
    made = server_identity(tmp_path, NAMES, UnixSeconds(_today()))
    assert isinstance(made, Success)
    handshake(value_of(made), name)


@pytest.mark.shows("OPS-STATE-003")
@pytest.mark.parametrize("name", ["example.org", "a.b.example.com", "127.0.0.2"])
def test_no_other_name_verifies(tmp_path: Path, name: str) -> None:
    made = server_identity(tmp_path, NAMES, UnixSeconds(_today()))
    assert isinstance(made, Success)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(value_of(made), name)


@pytest.mark.shows("OPS-STATE-003")
def test_the_root_signs_leaves_only_and_the_leaf_signs_nothing(tmp_path: Path) -> None:
    identity = identity_in(tmp_path)
    root = x509.load_pem_x509_certificate(identity.authority.read_bytes())
    leaf = x509.load_pem_x509_certificate(identity.chain.read_bytes())
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(
        ca=True, path_length=0
    )
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(
        ca=False, path_length=None
    )
    assert not leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 90


@pytest.mark.shows("OPS-STATE-004")
@pytest.mark.parametrize(
    ("days", "names", "is_kept"),
    [
        (59, NAMES, True),
        (61, NAMES, False),
        (500, NAMES, False),
        (-30, NAMES, False),
        (0, ("example.net", "*.example.net"), False),
        (0, (*NAMES, "10.0.0.7"), False),
    ],
    ids=["a-month-left", "near-its-end", "ended", "not-yet-valid", "other-zone", "one-more-address"],
)
def test_the_leaf_is_made_anew_when_it_no_longer_fits(
    tmp_path: Path, days: int, names: tuple[str, ...], *, is_kept: bool
) -> None:
    identity = identity_in(tmp_path)
    leaf, root = identity.chain.read_bytes(), identity.authority.read_bytes()
    again = identity_in(tmp_path, NOW + days * DAY, names)
    assert (again.chain.read_bytes() == leaf) == is_kept
    assert again.authority.read_bytes() == root


@pytest.mark.shows("OPS-STATE-004")
def test_a_leaf_of_another_authority_is_replaced(tmp_path: Path) -> None:
    foreign = identity_in(tmp_path / "other").chain.read_bytes()
    ours = identity_in(tmp_path / "ours")
    ours.chain.write_bytes(foreign)
    assert identity_in(tmp_path / "ours").chain.read_bytes() != foreign


@pytest.mark.shows("OPS-STATE-005")
@pytest.mark.parametrize("name", ["token-signing.key", "ca.key", "server.pem"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_secret_that_others_may_use_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    key_in(tmp_path)
    identity_in(tmp_path)
    (tmp_path / name).chmod(mode)
    refused = failure_of(signing_key(tmp_path) if name.startswith("token") else server_identity(tmp_path, NAMES, NOW))
    assert refused == TooOpen(tmp_path / name, mode, 0o600)
    assert f"chmod 600 {tmp_path / name}" in describe(refused)


@pytest.mark.shows("OPS-STATE-005")
def test_a_root_certificate_that_others_may_replace_is_refused(tmp_path: Path) -> None:
    identity_in(tmp_path).authority.chmod(0o666)
    assert failure_of(server_identity(tmp_path, NAMES, NOW)) == TooOpen(tmp_path / "ca.pem", 0o666, 0o644)


@pytest.mark.shows("OPS-STATE-005")
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_may_change_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s").chmod(mode)
    assert failure_of(signing_key(tmp_path / "s")) == TooOpen(tmp_path / "s", mode, 0o700)
    assert list((tmp_path / "s").iterdir()) == []


@pytest.mark.shows("OPS-STATE-006")
@pytest.mark.parametrize("content", [b"", b"junk\n", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
@pytest.mark.parametrize("name", ["token-signing.key", "ca.key", "ca.pem", "server.pem"])
def test_a_damaged_file_is_named_and_never_overwritten(tmp_path: Path, name: str, content: bytes) -> None:
    key_in(tmp_path)
    identity_in(tmp_path)
    (tmp_path / name).write_bytes(content)
    refused = failure_of(signing_key(tmp_path) if name.startswith("token") else server_identity(tmp_path, NAMES, NOW))
    assert isinstance(refused, Damaged)
    assert refused.path == tmp_path / name
    assert str(tmp_path / name) in describe(refused)
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.shows("OPS-STATE-006")
def test_a_key_of_another_kind_is_damage(tmp_path: Path) -> None:
    key_in(tmp_path / "a")
    identity_in(tmp_path / "a")
    (tmp_path / "a" / "ca.key").write_bytes((tmp_path / "a" / "token-signing.key").read_bytes())
    refused = failure_of(server_identity(tmp_path / "a", NAMES, NOW))
    assert isinstance(refused, Damaged)
    assert refused.path == tmp_path / "a" / "ca.key"


@pytest.mark.shows("OPS-STATE-006")
def test_a_swapped_authority_key_is_noticed(tmp_path: Path) -> None:
    identity_in(tmp_path / "a")
    identity_in(tmp_path / "b")
    (tmp_path / "a" / "ca.key").write_bytes((tmp_path / "b" / "ca.key").read_bytes())
    refused = failure_of(server_identity(tmp_path / "a", NAMES, NOW))
    assert isinstance(refused, Damaged)
    assert "do not belong together" in refused.detail


@pytest.mark.shows("OPS-STATE-006")
def test_a_server_certificate_with_the_wrong_key_is_noticed(tmp_path: Path) -> None:
    one = identity_in(tmp_path / "a").chain.read_bytes()
    other = identity_in(tmp_path / "b").chain.read_bytes()
    mark = b"-----BEGIN CERTIFICATE-----"
    (tmp_path / "a" / "server.pem").write_bytes(one.partition(mark)[0] + mark + other.partition(mark)[2])
    refused = failure_of(server_identity(tmp_path / "a", NAMES, NOW))
    assert isinstance(refused, Damaged)
    assert refused.path == tmp_path / "a" / "server.pem"


@pytest.mark.shows("OPS-STATE-006")
def test_a_root_whose_key_is_gone_is_not_replaced(tmp_path: Path) -> None:
    identity = identity_in(tmp_path)
    root = identity.authority.read_bytes()
    (tmp_path / "ca.key").unlink()
    assert failure_of(server_identity(tmp_path, NAMES, NOW)) == KeyLost(tmp_path / "ca.pem", tmp_path / "ca.key")
    assert identity.authority.read_bytes() == root


@pytest.mark.shows("OPS-STATE-006")
def test_a_crash_between_key_and_root_is_finished_by_the_next_start(tmp_path: Path) -> None:
    identity_in(tmp_path)
    key = (tmp_path / "ca.key").read_bytes()
    (tmp_path / "ca.pem").unlink()
    (tmp_path / "server.pem").unlink()
    identity_in(tmp_path)
    assert (tmp_path / "ca.key").read_bytes() == key


@pytest.mark.shows("OPS-STATE-006")
def test_a_root_past_its_end_is_said(tmp_path: Path) -> None:
    identity_in(tmp_path)
    refused = failure_of(server_identity(tmp_path, NAMES, UnixSeconds(NOW + 3651 * DAY)))
    assert isinstance(refused, AuthorityEnded)
    assert "ended on" in describe(refused)


def test_an_oversized_file_is_not_read(tmp_path: Path) -> None:
    key_in(tmp_path)
    (tmp_path / "token-signing.key").write_bytes(b"x" * 100_000)
    assert isinstance(failure_of(signing_key(tmp_path)), CannotUse)


def test_a_path_that_cannot_be_a_directory_is_a_value(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    refused = failure_of(signing_key(tmp_path / "file" / "state"))
    assert isinstance(refused, CannotUse)
    assert refused.path == tmp_path / "file" / "state"
    (tmp_path / "s" / "token-signing.key").mkdir(parents=True)
    assert isinstance(failure_of(signing_key(tmp_path / "s")), CannotUse)


@pytest.mark.shows("OPS-STATE-003")
def test_the_certificate_is_for_the_zone_this_machine_and_the_listener() -> None:
    assert names_served("example.com", "0.0.0.0") == list(NAMES)  # noqa: S104 - the address is what is tested
    assert names_served("example.com", "::") == list(NAMES)
    assert names_served("example.com", "") == list(NAMES)
    assert names_served("example.com", "127.0.0.1") == list(NAMES)
    assert names_served("example.com", "10.1.2.3") == [*NAMES, "10.1.2.3"]
    assert names_served("localhost", "127.0.0.1") == ["localhost", "*.localhost", "127.0.0.1", "::1"]


def test_a_name_no_certificate_can_hold_is_a_value(tmp_path: Path) -> None:
    refused = failure_of(server_identity(tmp_path, ("bücher.example",), NOW))
    assert "bücher.example" in describe(refused)


RACER: Final = """
import sys
import time
from pathlib import Path
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import value_of
from tunnel.server.state import server_identity, signing_key
directory = Path(sys.argv[1])
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.readline()
key = value_of(signing_key(directory))
value_of(server_identity(directory, ("example.com",), UnixSeconds(1_795_000_000)))
sys.stdout.write(f"{key.private.hex()} {key.is_new} {(directory / 'ca.pem').read_bytes().hex()}\\n")
"""


@pytest.mark.shows("OPS-STATE-007")
def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(  # noqa: S603 - our own interpreter with our own text
            [sys.executable, "-c", RACER, str(tmp_path / "s")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    answers = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=30)
        assert racer.returncode == 0
        answers.append(out.split())
    assert len({(key, root) for key, _, root in answers}) == 1
    assert sorted(is_new for _, is_new, _ in answers) == ["False"] * 4 + ["True"]
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "ca.key",
        "ca.pem",
        "server.pem",
        "token-signing.key",
    ]


def _today() -> int:
    """The standard library verifies against the real clock; the day is all that matters here."""
    return int(time.time())

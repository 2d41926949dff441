"""The TLS port with real sockets and real TLS: visitors beside agents, certificates by name, hostile beginnings.

`world` says at the end of each test that no socket, task or timer is left.
"""

import asyncio
import ssl
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from socket import MSG_PEEK, socket
from typing import Final

import pytest
from cryptography import x509
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_visitor import get, post, visitor
from tests.support.shell_world import DOMAIN, LOOPBACK, PATIENCE, World, world
from tests.support.tls_client import Handshake, secure_visitor, trusting

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.observe.events import AgentReady, ExchangeDone, LinkRefused, ServerReady, Warned
from tunnel.server import run
from tunnel.server.authority import Authority, authority_pem, leaf_pem, new_key_pem, read_authority
from tunnel.server.certificates import read_certificates
from tunnel.server.settings import CertificateFiles

pytestmark = pytest.mark.anyio

LIMITS: Final = Limits(grace_seconds=5.0)
NOW: Final = UnixSeconds(int(time.time()))


async def echoing(connection: Connection) -> None:
    """Answers each request with its head and body."""
    while True:
        first, fields = await connection.request()
        if not first:
            return
        await connection.answer(connection.service.heads[-1] + await connection.body(fields))


def new_authority(directory: Path) -> Authority:
    """An authority of the test's own; its certificate is `root.pem`."""
    key = new_key_pem()
    root = authority_pem(key, NOW)
    assert isinstance(root, Success)
    (directory / "root.pem").write_bytes(value_of(root))
    read = read_authority(value_of(root), key, NOW)
    assert isinstance(read, Success)
    return value_of(read)


def leaf(directory: Path, authority: Authority, *names: str, file: str = "", now: int = NOW) -> CertificateFiles:
    """A certificate for these names, chain and key in two files."""
    made = leaf_pem(authority, names, UnixSeconds(now))
    assert isinstance(made, Success)
    end = b"-----END PRIVATE KEY-----\n"
    key, _, chain = value_of(made).partition(end)
    stem = file or names[0].replace("*", "any")
    (directory / f"{stem}.key").write_bytes(key + end)
    (directory / f"{stem}.pem").write_bytes(chain)
    return CertificateFiles(directory / f"{stem}.pem", directory / f"{stem}.key")


async def presented(running: World, name: str | None, authority: Path) -> str:
    """The first name of the certificate that a client asking for `name` is shown."""
    context = trusting(authority)
    context.check_hostname = False
    _, writer = await asyncio.open_connection(
        running.agents.host, running.agents.port, ssl=context, server_hostname=name or ""
    )
    tls = writer.get_extra_info("ssl_object")
    shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    writer.transport.abort()
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)[0]


async def until_presented(running: World, name: str, authority: Path) -> None:
    """Return once new connections are shown the certificate of this name."""
    async with asyncio.timeout(PATIENCE):
        seen = ""
        while seen != name:
            seen = await presented(running, None, authority)


# Visitors.


@pytest.mark.shows("TLS-ARRIVE-001", "TLS-ARRIVE-002", "OPS-RUN-001")
async def test_a_visitor_over_tls_is_answered_at_the_port_of_agents(state: Path) -> None:
    async with serving(echoing) as local, world(state, LIMITS) as running, running.agent(local.address):
        async with secure_visitor(running) as one:
            body = b"b" * 300_000
            await one.send(post(running, body, "/up"))
            answer = await one.answer()
            assert answer.status == 200
            head, _, echoed = answer.body.partition(b"\r\n\r\n")
            assert echoed == body
            assert b"X-Forwarded-Proto: https" in head
            assert b"proto=https" in head
            await one.send(get(running, "/again"))
            assert (await one.answer()).body.startswith(b"GET /again HTTP/1.1\r\n")
        async with visitor(running) as plain:
            await plain.send(get(running))
            assert b"X-Forwarded-Proto: http\r\n" in (await plain.answer()).body


@pytest.mark.shows("TLS-ARRIVE-002")
async def test_a_visitor_that_offers_no_protocol_is_one_too(state: Path) -> None:
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        running.agent(local.address),
        secure_visitor(running, trusting(running.authority)) as one,
    ):
        await one.send(get(running))
        assert (await one.answer()).status == 200


@pytest.mark.shows("RELAY-REDIRECT-001", "OPS-REDIRECT-001")
async def test_a_visitor_in_the_clear_is_sent_to_https_and_arrives_there(state: Path, tmp_path: Path) -> None:
    own = leaf(tmp_path, new_authority(tmp_path), f"*.{DOMAIN}", DOMAIN, LOOPBACK)
    async with (
        serving(hello) as local,
        world(state, LIMITS, (own,), redirects_http=True) as running,
        running.agent(local.address, ca=tmp_path / "root.pem"),
        visitor(running) as plain,
        secure_visitor(running, trusting(tmp_path / "root.pem")) as secure,
    ):
        for target in ("/where?to=go", "//elsewhere"):
            await plain.send(get(running, target))
            answer = await plain.answer()
            assert answer.status == 308
            assert answer.fields["location"] == f"https://demo.{DOMAIN}:{running.agents.port}{target}"
        assert local.heads == []
        await secure.send(get(running, "/where?to=go"))
        assert (await secure.answer()).status == 200
        assert {done.outcome for done in running.log.all(ExchangeDone)} == {"redirected", "ok"}


@pytest.mark.shows("OPS-REDIRECT-001")
async def test_without_a_certificate_for_the_names_nobody_is_sent_away(state: Path, tmp_path: Path) -> None:
    """A redirect to a certificate of another name would be a wall."""
    own = leaf(tmp_path, new_authority(tmp_path), "other.example")
    async with (
        serving(hello) as local,
        world(state, LIMITS, (own,), redirects_http=True) as running,
        running.agent(local.address, ca=tmp_path / "root.pem", is_ready=False),
        visitor(running) as plain,
    ):
        await plain.send(get(running))
        assert (await plain.answer()).status == 404


@pytest.mark.shows("TLS-ARRIVE-002", "OPS-ADMIT-002")
async def test_visitors_over_tls_count_as_visitors(state: Path) -> None:
    limits = replace(LIMITS, connections_per_address_max=1, linger_seconds_max=0.1)
    async with (
        serving(hello) as local,
        world(state, limits) as running,
        running.agent(local.address),
        secure_visitor(running) as one,
        secure_visitor(running) as other,
    ):
        await one.send(get(running))
        assert (await one.answer()).status == 200
        await other.send(get(running))
        assert (await other.answer()).status == 429
        assert await other.to_the_end() == b""


@pytest.mark.shows("TLS-ARRIVE-004")
async def test_plain_http_at_the_tls_port_is_told_so(state: Path) -> None:
    limits = replace(LIMITS, linger_seconds_max=0.1)
    async with world(state, limits) as running:
        reader, writer = await asyncio.open_connection(running.agents.host, running.agents.port)
        writer.write(get(running) + b"x" * 50_000)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b'"tls-expected"' in answer
        assert b"https://" in answer
        writer.close()


@pytest.mark.shows("TLS-ARRIVE-006")
@pytest.mark.parametrize(
    ("version", "ciphers", "is_served"),
    [
        (ssl.TLSVersion.TLSv1_3, "", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AES:!AESGCM:!AESCCM", False),
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256", False),
    ],
)
async def test_visitors_speak_modern_tls(state: Path, version: ssl.TLSVersion, ciphers: str, is_served: bool) -> None:  # noqa: FBT001
    async with serving(hello) as local, world(state, LIMITS) as running, running.agent(local.address):
        context = trusting(running.authority, "http/1.1")
        context.minimum_version = context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers)
        if not is_served:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await secure_visitor(running, context).__aenter__()
            return
        async with secure_visitor(running, context) as one:
            await one.send(get(running))
            assert (await one.answer()).status == 200


# Beginnings.


@pytest.mark.shows("TLS-HELLO-002", "TLS-ARRIVE-005")
@pytest.mark.parametrize("size", [1, 7, 200])
async def test_a_hello_may_come_in_pieces(state: Path, size: int) -> None:
    """Each piece is a segment of its own; the TLS that follows finds every byte in place."""
    async with world(state, LIMITS) as running:
        reader, writer = await asyncio.open_connection(running.agents.host, running.agents.port)
        client = Handshake(trusting(running.authority, "http/1.1"), "localhost")
        first = client.step()
        for at in range(0, len(first), size):
            writer.write(first[at : at + size])
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            while not client.is_done:
                writer.write(client.step(await reader.read(65_536)))
        writer.transport.abort()


@pytest.mark.shows("TLS-ARRIVE-005")
@pytest.mark.parametrize("ends", [True, False])
async def test_half_a_hello_is_dropped_at_the_deadline_and_costs_nothing_meanwhile(
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    ends: bool,  # noqa: FBT001
) -> None:
    """A socket whose peer has ended is readable for ever; to look each time it says so would be a busy loop."""
    looks: list[int] = []
    read = socket.recv

    def counted(self: socket, count: int, flags: int = 0) -> bytes:
        looks.append(flags)
        return read(self, count, flags)

    monkeypatch.setattr(socket, "recv", counted)
    async with world(state, replace(LIMITS, handshake_seconds_max=0.3)) as running:
        reader, writer = await asyncio.open_connection(running.agents.host, running.agents.port)
        writer.write(Handshake(trusting(running.authority), "localhost").step()[:100])
        if ends:
            writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):  # half of it was never read, so the end may be a reset
                assert await reader.read() == b""
        assert (await running.log.next(LinkRefused)).code == "no-tls"
        assert 1 <= looks.count(MSG_PEEK) <= 12
        writer.close()


# Certificates.


@pytest.mark.shows("TLS-CERT-001", "TLS-CERT-004")
async def test_the_certificate_is_chosen_by_name(tmp_path: Path, state: Path) -> None:
    authority = new_authority(tmp_path)
    root = tmp_path / "root.pem"
    files = (
        leaf(tmp_path, authority, "first.example", "127.0.0.1"),
        leaf(tmp_path, authority, "*.localhost"),
        leaf(tmp_path, authority, "shop.localhost"),
    )
    async with serving(hello) as local, world(state, LIMITS, files) as running:
        shown = {name: await presented(running, name, root) for name in ("shop.localhost", "x.localhost", "else.test")}
        assert shown == {"shop.localhost": "shop.localhost", "x.localhost": "*.localhost", "else.test": "first.example"}
        assert await presented(running, "127.0.0.1", root) == "first.example"
        ready = await running.log.next(ServerReady)
        assert ready.url_pattern == ready.https_pattern == f"https://NAME.localhost:{running.agents.port}/"
        async with running.agent(local.address, ca=root) as agent:
            url = (await agent.log.next(AgentReady)).url
            assert url == f"https://demo.localhost:{running.agents.port}/"


@pytest.mark.shows("TLS-CERT-004")
async def test_a_development_certificate_makes_no_address_https(state: Path) -> None:
    async with serving(hello) as local, world(state, LIMITS) as running, running.agent(local.address) as agent:
        assert (await agent.log.next(AgentReady)).url == f"http://demo.localhost:{running.public.port}/"
        ready = await running.log.next(ServerReady)
        assert ready.url_pattern == f"http://NAME.localhost:{running.public.port}/"
        assert ready.https_pattern == f"https://NAME.localhost:{running.agents.port}/"


@pytest.mark.shows("TLS-CERT-002")
async def test_a_certificate_is_read_again_when_its_files_change(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_LOOK_SECONDS", 0.01)
    authority = new_authority(tmp_path)
    root = tmp_path / "root.pem"
    files = leaf(tmp_path, authority, "old.example", file="it")
    async with (
        world(state, LIMITS, (files,)) as running,
        secure_visitor(running, trusting(root), "old.example") as standing,
    ):
        leaf(tmp_path, authority, "new.example", file="it")

        await until_presented(running, "new.example", root)
        warned = len(running.log.all(Warned))
        files.chain.write_bytes(b"half a fi")
        told = await running.log.next(Warned, warned + 1)
        assert told.message == (f"{files.chain} changed, and the old certificate stays: holds no certificate in PEM")
        assert await presented(running, None, root) == "new.example"
        leaf(tmp_path, authority, "newest.example", file="it")
        await until_presented(running, "newest.example", root)
        await standing.send(get(running))
        assert (await standing.answer()).status == 404


UNUSABLE: Final = {
    "missing": "cannot be read: No such file or directory",
    "not PEM": "holds no certificate in PEM",
    "another key": "the private key is not that of the certificate",
    "no key": "holds no private key in PEM",
    "passphrase": "the private key has a passphrase, and nobody is there to be asked for it",
    "ended": "the certificate ended on ",
    "early": "the certificate is not valid before ",
}


def unusable(kind: str, directory: Path) -> CertificateFiles:
    """Files with that fault."""
    authority = new_authority(directory)
    good = leaf(directory, authority, "a.example")
    other = leaf(directory, authority, "b.example")
    match kind:
        case "missing":
            return CertificateFiles(directory / "none.pem", good.key)
        case "not PEM":
            good.chain.write_bytes(b"\xff" * 100)
        case "another key":
            return CertificateFiles(good.chain, other.key)
        case "no key":
            return CertificateFiles(good.chain)
        case "passphrase":
            return _with_passphrase(good)
        case "ended":
            return leaf(directory, authority, "c.example", now=NOW - 91 * 86_400)
        case _:
            return leaf(directory, authority, "c.example", now=NOW + 86_400)
    return good


def _with_passphrase(files: CertificateFiles) -> CertificateFiles:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - for this one case

    assert files.key is not None
    key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return files


@pytest.mark.shows("TLS-CERT-003")
@pytest.mark.parametrize("kind", UNUSABLE)
async def test_a_certificate_that_cannot_be_used_is_named_with_its_reason(tmp_path: Path, kind: str) -> None:
    files = unusable(kind, tmp_path)
    read = read_certificates((leaf(tmp_path, new_authority(tmp_path), "fine.example"), files), None, NOW)
    assert not isinstance(read, Success)
    assert error_of(read).detail.startswith(UNUSABLE[kind])
    assert error_of(read).path in {str(files.chain), str(files.key)}

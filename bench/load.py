"""One measured load on one subject: wrk at full speed, curl with 100 MB down and up."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from bench.failure import BenchError
from bench.processes import cpu_seconds, said_by
from bench.subjects import DOWNLOAD_BYTES, Place, Subject
from bench.tools import Tools

CONNECTIONS: Final = 32
MANY_CONNECTIONS: Final = 256
_WARM_SECONDS: Final = 1
_REQUESTS: Final = re.compile(r"(\d+) requests in ([\d.]+)(ms|s|m),")
_PERCENTILE: Final = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)$", re.MULTILINE)
_FAULTS: Final = re.compile(r"^\s*((?:Socket errors|Non-2xx).*)$", re.MULTILINE)
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_CURL_SAYS: Final = "%{http_code} %{time_total} %{size_download} %{size_upload}"


@final
@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor seconds of the two sides of a subject."""

    server: float
    agent: float


@final
@dataclass(frozen=True, slots=True)
class FullSpeed:
    """What wrk saw when each connection asked again as soon as it was answered."""

    requests: int
    seconds: float
    p50_seconds: float
    p99_seconds: float
    cpu: Cpu


@final
@dataclass(frozen=True, slots=True)
class Bulk:
    """One body of 100 MB that arrived whole."""

    seconds: float
    cpu: Cpu


@final
class _CpuMeter:
    """What a subject uses from here to `read`."""

    def __init__(self, subject: Subject) -> None:
        self._subject: Final = subject
        self._server: Final = cpu_seconds(subject.server)
        self._agent: Final = cpu_seconds(subject.agent)

    def read(self) -> Cpu:
        """The difference since the meter was made."""
        server, agent = cpu_seconds(self._subject.server), cpu_seconds(self._subject.agent)
        return Cpu(server - self._server, agent - self._agent)


def full_speed(tools: Tools, subject: Subject, seconds: int, connections: int = CONNECTIONS) -> FullSpeed:
    """The 100-byte body over kept-alive connections, after a second of warming up; any failed answer is an error."""
    _wrk(tools, subject.small, _WARM_SECONDS, connections)
    meter = _CpuMeter(subject)
    said = _wrk(tools, subject.small, seconds, connections)
    cpu = meter.read()
    requests = _REQUESTS.search(said)
    percentiles = {name: float(number) * _SECONDS[unit] for name, number, unit in _PERCENTILE.findall(said)}
    faults = _FAULTS.search(said)
    if requests is None or percentiles.keys() != {"50", "99"} or faults is not None:
        message = f"wrk on {subject.name}: {said.strip() if faults is None else faults[1]}"
        raise BenchError(message)
    lasted = float(requests[2]) * _SECONDS[requests[3]]
    return FullSpeed(int(requests[1]), lasted, percentiles["50"], percentiles["99"], cpu)


def new_connections(tools: Tools, subject: Subject, seconds: int) -> float:
    """Requests a second when each comes on a connection of its own (`Connection: close`), 32 at a time."""
    said = _wrk(tools, subject.small, seconds, CONNECTIONS, "Connection: close")
    requests = _REQUESTS.search(said)
    if requests is None or "Non-2xx" in said:
        message = f"wrk on {subject.name}, a connection a request: {said.strip()}"
        raise BenchError(message)
    return int(requests[1]) / (float(requests[2]) * _SECONDS[requests[3]])


def download(tools: Tools, subject: Subject) -> Bulk:
    """A static file of 100 MB."""
    meter = _CpuMeter(subject)
    seconds, down, _ = _curl(tools, subject.download, "--output", "/dev/null")
    if down != DOWNLOAD_BYTES:
        message = f"the download through {subject.name} brought {down} of {DOWNLOAD_BYTES} bytes"
        raise BenchError(message)
    return Bulk(seconds, meter.read())


def upload(tools: Tools, subject: Subject, file: Path, answer: Path) -> Bulk:
    """The same file up; the sink's answer says how many bytes really reached it."""
    meter = _CpuMeter(subject)
    seconds, _, _ = _curl(tools, subject.upload, "--upload-file", str(file), "--output", str(answer), "-H", "Expect:")
    counted = answer.read_text("ascii")
    if counted != str(DOWNLOAD_BYTES):
        message = f"the upload through {subject.name} brought {counted} of {DOWNLOAD_BYTES} bytes"
        raise BenchError(message)
    return Bulk(seconds, meter.read())


def _wrk(tools: Tools, place: Place, seconds: int, connections: int, *fields: str) -> str:
    load = ("-t1", f"-c{connections}", f"-d{seconds}s", "--latency")
    headers = [part for field in (f"Host: {place.host}", *fields) for part in ("-H", field)]
    return said_by([str(tools.wrk), *load, *headers, place.url])


def _curl(tools: Tools, place: Place, *options: str) -> tuple[float, int, int]:
    """Seconds from the first packet to the last byte, bytes down and bytes up."""
    command = [str(tools.curl), "--silent", "--show-error", "--max-time", "120", "--noproxy", "*", "--http1.1"]
    said = said_by([*command, "-H", f"Host: {place.host}", "--write-out", _CURL_SAYS, *options, place.url])
    code, seconds, down, up = said.split()
    if code != "200":
        message = f"{place.url} with Host {place.host} answered {code}"
        raise BenchError(message)
    return float(seconds), int(down), int(up)

"""Every limit of the product, with its reason; the config file may change each of them by its name here.

A limit is never "unlimited": what a peer can make us hold, wait for or repeat is bounded (ADR 0011).
"""

from dataclasses import dataclass
from typing import Final, final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

READ_BYTES: Final = 64 * KIB
"""One socket read. Measured: 64 KiB moves bulk fastest; above the allocator's mmap threshold reads fault pages."""


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """One value per limit; the names, units and defaults are also the `[limits]` table of the config file."""

    # HTTP, from visitors and from local services alike.
    head_bytes_max: int = 64 * KIB
    """Request line or status line with all fields. Browsers stay under 16 KiB; large cookies and JWTs reach 32."""
    target_bytes_max: int = 16 * KIB
    """A request target; longer ones get 414. Twice what the largest common servers take (8 KiB)."""
    field_count_max: int = 128
    """Fields in one head; a browser sends about 15, 100 is the usual limit of servers behind us."""
    trailer_bytes_max: int = 8 * KIB
    """The trailer section of one chunked body; gRPC-like use needs a few hundred bytes."""
    chunk_extension_bytes_max: int = 4 * KIB
    """All chunk extensions of one body together; nobody uses them but attackers (CVE-2023-39326)."""
    request_body_bytes_max: int = 16 * GIB
    """One request body; more gets 413. High, as a tunnel carries uploads of any honest size, but never without end."""
    ahead_bytes_max: int = 64 * KIB
    """What a visitor sent ahead of its turn (pipelining, or before a 101); above it we read no more. One read."""
    interim_responses_max: int = 16
    """1xx responses before one final response; an endless row of them is an attack by the local service."""

    # Time. Seconds.
    head_seconds_max: float = 10.0
    """From the first byte of a head to its last (slowloris); a human-made head fits one packet."""
    idle_seconds_max: float = 75.0
    """Between exchanges on a kept-alive visitor connection; above the 60 s that common clients and balancers use."""
    body_stall_seconds_max: float = 60.0
    """For the next `body_part_bytes_min` of a request body."""
    body_part_bytes_min: int = 6000
    """100 bytes a second: what a visitor has to send of a body while no answer has begun. A drip holds a stream."""
    response_head_seconds_max: float = 120.0
    """From the end of a request to the head of its response (504); long polls of one minute must pass."""
    response_stall_seconds_max: float = 3600.0
    """Between two reads of a response body; server-sent events may rest long."""
    upgraded_idle_seconds_max: float = 3600.0
    """An upgraded connection on which neither side says anything."""
    half_closed_seconds_max: float = 30.0
    """Between two reads of a response for a visitor that has ended its side: it may be gone, and cannot tell us."""
    write_stall_seconds_max: float = 120.0
    """A visitor that takes no byte of what waits for it."""
    linger_seconds_max: float = 2.0
    """After an early final answer, how long we drain what the visitor still sends, so that it can read the answer."""
    linger_bytes_max: int = 1 * MIB
    """And how much of it."""
    connect_seconds_max: float = 10.0
    """The agent's connection to the local service (504)."""
    handshake_seconds_max: float = 10.0
    """TLS, hello and token of a new agent link, together; nothing else is possible before."""
    hello_bytes_max: int = 32 * KIB
    """A visitor's or agent's first TLS message, records included; with post-quantum keys and a ticket it has some 4."""
    goodbye_seconds_max: float = 2.0
    """From our end of a connection to dropping it: its peer takes neither what is queued nor the goodbye itself."""
    heartbeat_seconds: float = 5.0
    """Rest on a link after which a ping goes out; each side does this for itself."""
    heartbeat_deadline_seconds: float = 15.0
    """Silence on a link after which it is dead: three heartbeats, under any human's patience."""
    grace_seconds: float = 30.0
    """How long running exchanges may go on after a shutdown began."""
    reconnect_seconds_min: float = 0.25
    """First pause of the agent before it dials again; doubled each time, with full jitter."""
    reconnect_seconds_max: float = 30.0
    """The longest such pause."""
    offline_remembered_seconds: float = 24 * 3600.0
    """How long a name whose agent is gone answers 503 (offline) rather than 404 (unknown)."""
    lease_lapse_seconds: float = 60.0
    """How long such a name is kept for its account; twice the longest pause between two dials of its agent."""

    # Several processes.
    worker_answer_seconds_max: float = 5.0
    """From fencing a lease to a worker's word that it is cut; one that is silent for longer is ended."""
    worker_start_seconds_max: float = 30.0
    """From starting a worker to its word that it could serve; a slow disk and a cold cache need a few seconds."""
    respawn_seconds_max: float = 30.0
    """The longest pause before a worker that died is replaced; the first replacement is immediate, pauses double."""
    rest_seconds: float = 5.0
    """How long an idle visitor connection of a worker that retires may still bring a request, which is answered."""

    # What waits for the store.
    journal_bytes_max: int = 256 * MIB
    """All journals of a state directory together; an hour of a thousand busy names, days of a quiet server."""
    journal_memory_bytes_max: int = 1 * MIB
    """Records of one process that are not on the disk yet, while it is slow or full: some ten thousand."""

    # The link.
    frame_bytes_max: int = 16 * MIB
    """A DATA frame we accept: a whole window in one, as @libp2p/yamux sends it. Payload is passed on, never held."""
    frame_bytes_sent_max: int = 16 * KIB
    """A DATA frame we send: one TLS record, so that a small exchange never waits behind more."""
    stream_window_bytes: int = 256 * KIB
    """Receive window that a stream begins with; the initial window of the yamux specification, which allows no less."""
    stream_window_bytes_max: int = 16 * MIB
    """What it may grow to for a reader that keeps up: 160 MB/s at a round trip of 100 ms. As @libp2p/yamux has it."""
    stream_window_bytes_min: int = 16 * KIB
    """What it may fall to when a session holds too much: one frame, so that the stream still moves."""
    session_growth_bytes_max: int = 64 * MIB
    """What all receive windows of one link may grow beyond those that their streams began with: four full ones."""
    reader_stall_seconds: float = 1.0
    """For how long half a grown window may wait for its reader before it is halved; longer than a loss takes."""
    session_buffer_bytes_max: int = 64 * MIB
    """Bytes received on one link and not yet taken by their readers, over all streams."""
    stream_queue_bytes: int = 64 * KIB
    """Bytes of one stream waiting to be sent; above it its source is paused."""
    control_frames_max: int = 1024
    """Pongs, resets and window updates waiting to be sent; a peer that makes more and does not read is cut off."""
    streams_per_session_max: int = 1024
    """Streams open at once on one link; above it visitors get 429."""
    link_output_bytes_max: int = 64 * KIB
    """Link messages waiting for an agent that asks and asks but takes no answer; some thousand answers."""

    # Admission.
    endpoints_per_session_max: int = 16
    """Names one agent may expose over one link."""
    sessions_per_token_max: int = 16
    """Links one token may hold at once."""
    connections_per_address_max: int = 1024
    """Visitor connections from one address; a whole office may sit behind it, so it is not small."""
    connections_max: int = 20_000
    """Visitor connections of one process; keeps us under usual descriptor limits."""
    links_max: int = 20_000
    """Agent links of one process, those that still shake hands included."""
    handshakes_per_address_max: int = 64
    """Agents of one address that have not shown a valid token yet; an office that redials after an outage fits."""
    moves_per_second: int = 500
    """Agents of a worker that retires asked to dial again; a core accepts some 600 (1.1 to 1.9 ms each)."""
    links_per_agent_max: int = 16
    """Links one agent process may keep up; more than the cores that could serve them bring nothing."""
    members_per_name_max: int = 64
    """Links that may answer for one name together: each choice looks at all of them."""
    aside_failures: int = 3
    """Connections to a local service not made in a row, after which the others of its name serve in its place."""
    aside_seconds_min: float = 1.0
    """Then it is put aside for so long; doubled each time that a request finds it failing still."""
    aside_seconds_max: float = 60.0
    """The longest such pause: a service that is back gets its share within a minute."""
    check_seconds_max: float = 5.0
    """An answer to one of the agent's checks of its local service; a page for people would be left by then, too."""
    check_failures: int = 2
    """Checks in a row that fail before a service that was up is down: one alone may be an accident."""
    check_passes: int = 2
    """And that pass before one that was down is up."""
    retries_max: int = 3
    """Other members that one request may be sent to after the first did not take it."""
    retry_bytes_max: int = 64 * KIB
    """Of a request body, held until a local service has the request, so that another can get it instead. One read."""
    addresses_tracked_max: int = 65_536
    """Addresses, and endpoints, whose limits on requests or bytes are remembered; some 35 MB when all of them come."""
    offline_names_max: int = 10_000
    """Names remembered as offline; the oldest are forgotten first."""


DEFAULT_LIMITS: Final = Limits()

"""Configurations of nginx: the local service, and the pair of proxies that the product is compared with."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from bench.processes import LOOPBACK
from bench.tools import Tools

SMALL_BODY: Final = "tunnel" * 16 + "end."
"""100 bytes."""

_NEVER_CLOSE: Final = "keepalive_requests 1000000000; keepalive_timeout 1h;"
"""nginx closes a connection after 1,000 requests; that would measure handshakes, and other ones for each subject."""


@final
@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts of the nginx pair meet: visitors, and one TLS port for each local service."""

    public: int
    small: int
    upload: int


def local_service(folder: Path, port: int) -> str:
    """A static 100-byte answer at `/small`, and the files of `folder/www`."""
    return f"""{_frame(folder, "local", "")}
http {{
    {_http(folder, "local")}
    sendfile on;
    tcp_nopush on;
    server {{
        listen {LOOPBACK}:{port} backlog=1024;
        {_NEVER_CLOSE}
        root {folder}/www;
        location = /small {{ default_type text/plain; return 200 "{SMALL_BODY}"; }}
    }}
}}
"""


def proxy_server(folder: Path, ports: Ports, authority: Path) -> str:
    """The side of the visitors: HTTP in clear, kept-alive and verified TLS 1.3 to the other nginx.

    It says the same about a request as our server does, and buffers as ours does: never on disk, never a whole body.
    """
    return f"""{_frame(folder, "server", "")}
http {{
    {_http(folder, "server")}
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    proxy_buffer_size 64k;
    proxy_buffers 8 64k;
    proxy_busy_buffers_size 128k;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Request-Id $request_id;
    add_header X-Request-Id $request_id;
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_session_reuse on;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {authority};
    proxy_ssl_name localhost;
    proxy_ssl_server_name on;
    upstream small {{ server {LOOPBACK}:{ports.small}; keepalive 512; {_NEVER_CLOSE} }}
    upstream upload {{ server {LOOPBACK}:{ports.upload}; keepalive 512; {_NEVER_CLOSE} }}
    server {{
        listen {LOOPBACK}:{ports.public} backlog=1024;
        {_NEVER_CLOSE}
        location / {{ proxy_pass https://small; }}
        location = /upload {{ proxy_pass https://upload; }}
    }}
}}
"""


def stream_agent(folder: Path, ports: Ports, certificate: Path, local: int, sink: int, tools: Tools) -> str:
    """The side of the local services: ends TLS and passes bytes on, each TLS connection on one of its own."""
    module = "" if tools.stream_module is None else f"load_module {tools.stream_module};"
    return f"""{_frame(folder, "agent", module)}
stream {{
    access_log off;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    ssl_protocols TLSv1.3;
    ssl_session_cache shared:tls:1m;
    proxy_buffer_size 64k;
    proxy_timeout 1h;
    tcp_nodelay on;
    server {{ listen {LOOPBACK}:{ports.small} ssl backlog=1024; proxy_pass {LOOPBACK}:{local}; }}
    server {{ listen {LOOPBACK}:{ports.upload} ssl backlog=1024; proxy_pass {LOOPBACK}:{sink}; }}
}}
"""


def _frame(folder: Path, name: str, module: str) -> str:
    """One worker in the foreground. Started as root, nginx would drop to a user who cannot read our folder."""
    me = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
    return f"""{module}
{me}
daemon off;
worker_processes 1;
pid {folder}/{name}.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}"""


def _http(folder: Path, name: str) -> str:
    """What every http block needs: no log, and its temporary folders inside ours."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "access_log off;\n    " + "\n    ".join(f"{kind}_temp_path {folder}/{name}-{kind};" for kind in kinds)

"""The programs that a comparison needs, found before anything starts."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from bench.failure import BenchError

_SYSTEM_FOLDERS: Final = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
"""Debian keeps nginx out of an ordinary user's PATH."""
_STREAM_MODULES: Final = (
    Path("/usr/lib/nginx/modules/ngx_stream_module.so"),
    Path("/usr/lib64/nginx/modules/ngx_stream_module.so"),
)
_PACKAGES: Final = {"wrk": "wrk", "curl": "curl", "nginx": "nginx-light"}


@final
@dataclass(frozen=True, slots=True)
class Tools:
    """Where each program is; `stream_module` is None when nginx has it built in."""

    wrk: Path
    curl: Path
    nginx: Path
    nginx_version: str
    stream_module: Path | None


def find_tools() -> Tools:
    """All programs, or one `BenchError` that names every missing Debian package."""
    found = {name: shutil.which(name) or shutil.which(name, path=_SYSTEM_FOLDERS) for name in _PACKAGES}
    missing = [_PACKAGES[name] for name, path in found.items() if path is None]
    about = "" if found["nginx"] is None else _about(found["nginx"])
    module = next((path for path in _STREAM_MODULES if path.exists()), None)
    if module is None and re.search(r"--with-stream(\s|$)", about) is None:
        missing.append("libnginx-mod-stream")
    if missing:
        message = f"the comparison needs {', '.join(missing)}: apt-get install -y {' '.join(missing)}"
        raise BenchError(message)
    if not Path("/proc/self/schedstat").exists():
        message = "processor time is read from /proc/PID/task/*/schedstat, which this system does not have"
        raise BenchError(message)
    version = re.search(r"nginx/(\S+)", about)
    return Tools(
        wrk=Path(found["wrk"] or ""),
        curl=Path(found["curl"] or ""),
        nginx=Path(found["nginx"] or ""),
        nginx_version="unknown" if version is None else version[1],
        stream_module=module,
    )


def _about(nginx: str) -> str:
    """What `nginx -V` says, which it says on standard error."""
    return subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False).stderr

"""A small OpenID Connect provider on loopback: discovery, RS256 keys, the code flow with PKCE, and faults on request.

It checks what a provider has to (client, redirect, code used once, verifier), so that a client which leaves something
out fails here. `fault` makes it lie in one way at a time.
"""

import base64
import json
import secrets
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, final
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from typing_extensions import override

CLIENT: Final = "tunnel-dashboard"
SECRET: Final = "a secret of the client"


@final
class OidcProvider:
    """A running provider; `person` is who signs in, without a question, as soon as a browser comes."""

    def __init__(self) -> None:
        self._server: Final = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._thread: Final = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.issuer: Final = f"http://127.0.0.1:{self._server.server_port}"
        self.key: Final = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.other_key: Final = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.person: dict[str, object] = {"sub": "248289761001", "email": "Ada@example.com", "email_verified": True}
        self.fault = ""
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        _PROVIDERS[self._server.server_port] = self

    def __enter__(self) -> "OidcProvider":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        _PROVIDERS.pop(self._server.server_port, None)

    def description(self) -> dict[str, object]:
        """What discovery says."""
        issuer = self.issuer if self.fault != "another issuer" else "http://127.0.0.1:1"
        scheme = "http://provider.invalid" if self.fault == "plain http elsewhere" else self.issuer
        scheme = "https://[" if self.fault == "no URLs" else scheme
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{scheme}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser goes on: back, with a code or an error."""
        back = {"state": query["state"], "iss": self.issuer}
        if self.fault == "refused":
            return f"{query['redirect_uri']}?{urlencode(back | {'error': 'access_denied'})}"
        if self.fault == "issuer of the answer":
            back["iss"] = "http://127.0.0.1:1"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode(back | {'code': code})}"

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        """The answer of the token endpoint: a code is good once, for its client, redirect and verifier."""
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        fits = (
            asked is not None
            and asked["client_id"] == form.get("client_id") == CLIENT
            and form.get("client_secret") == SECRET
            and asked["redirect_uri"] == form.get("redirect_uri")
            and asked["code_challenge_method"] == "S256"
            and asked["code_challenge"] == challenge.decode()
        )
        if asked is None or not fits:
            return 400, {"error": "invalid_grant"}
        if self.fault == "no token":
            return 200, {"access_token": "x", "token_type": "Bearer"}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.token(asked["nonce"])}

    def token(self, nonce: str) -> str:
        """The identity token, wrong in the way that `fault` says."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.issuer,
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": nonce,
            **self.person,
        }
        changes: dict[str, dict[str, object]] = {
            "issuer": {"iss": "http://127.0.0.1:1"},
            "audience": {"aud": "another"},
            "second audience": {"aud": [CLIENT, "another"], "azp": "another"},
            "expired": {"exp": now - 3600, "iat": now - 7200},
            "nonce": {"nonce": "another"},
            "nobody": {"sub": ""},
        }
        claims |= changes.get(self.fault, {})
        if self.fault == "hmac":
            return jwt.encode({"alg": "HS256", "kid": "one"}, claims, OctKey.import_key("x" * 32), ["HS256"])
        if self.fault == "unsigned":
            parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
            return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), ""])
        key = self.other_key if self.fault == "signature" else self.key
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, key, ["RS256"])


_PROVIDERS: Final[dict[int, OidcProvider]] = {}


@final
class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        provider = self._provider()
        parts = urlsplit(self.path)
        provider.asked.append(parts.path)
        if parts.path == "/authorize":
            self.send_response(303)
            self.send_header("Location", provider.authorize(dict(parse_qsl(parts.query))))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif parts.path == "/.well-known/openid-configuration":
            self._say(200, provider.description())
        elif parts.path == "/keys":
            self._say(200, {"keys": [provider.key.as_dict(private=False)]})
        else:
            self._say(404, {})

    def do_POST(self) -> None:
        provider = self._provider()
        provider.asked.append(urlsplit(self.path).path)
        form = dict(parse_qsl(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()))
        self._say(*provider.exchange(form))

    def _provider(self) -> OidcProvider:
        assert isinstance(self.server, ThreadingHTTPServer)
        return _PROVIDERS[self.server.server_port]

    def _say(self, status: int, told: dict[str, object]) -> None:
        raw = b"not json" if self._provider().fault == "not JSON" else json.dumps(told).encode()
        if self._provider().fault == "too long":
            raw = b" " * 300_000
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test's output is the test's."""

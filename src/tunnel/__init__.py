"""A self-hosted tunnel service: agents dial in over TLS, visitors come by HTTP, bytes are routed between them."""

from typing import Final

__version__: Final = "0.1.0"

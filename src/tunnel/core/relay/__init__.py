"""One public connection joined to one stream: exchanges, half-close, back-pressure, abort, upgrade."""

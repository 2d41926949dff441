"""`python -m tunnel` is `tunnel`."""

from tunnel.cli.main import main

main()

"""``python -m bench``: CPU per query beside Knot DNS and CoreDNS."""

from bench.queries import main

main()

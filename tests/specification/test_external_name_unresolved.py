"""Services of type ExternalName where no resolver is set: the CNAME, and whoever asked goes on (D16)."""

from __future__ import annotations

from tests.specification.rows import Asker, Row, found, parametrize


@parametrize(
    found("D16-CNAME-alone", "out A", "5 CNAME www.example.com."),
    found("D16-CNAME-alone-AAAA", "out AAAA", "5 CNAME www.example.com."),
    found("D16-CNAME-alone-MX", "out MX", "5 CNAME www.example.com."),
    found("D16-CNAME-alone-of-an-address", "number A", "5 CNAME 192.0.2.1."),
    found("D16-chain-that-leaves", "out-again A", "5 CNAME out", "out 5 CNAME www.example.com.", ordered=True),
    found("D16-CNAME-asked-for", "out CNAME", "5 CNAME www.example.com."),
    found("D16-ttl-by-annotation", "lasting A", "3600 CNAME www.example.com."),
)
def test_unresolved(asker: Asker, row: Row) -> None:
    """Without a resolver a CNAME that leaves our zones is sent alone."""
    asker.check(row)

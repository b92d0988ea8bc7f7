"""The CoreDNS of the tests itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.message
import dns.rrset
import pytest

from tests.conftest import skip_or_fail
from tests.coredns.server import PEER, CoreDNS
from tests.peers import PeerMissingError
from tests.peers.process import ProcessError

if TYPE_CHECKING:
    from tests.realcluster.cluster import RealCluster


def started(corefile: str, **values: object) -> CoreDNS:
    try:
        return CoreDNS(corefile, **values)
    except PeerMissingError as error:
        skip_or_fail(str(error))


@pytest.mark.parametrize("tcp", [pytest.param(False, id="UDP"), pytest.param(True, id="TCP")])
def test_peer_answers_from_the_api_server(real_cluster: RealCluster, tcp: bool) -> None:
    """CoreDNS answers with the address that the API server gave to its own Service."""
    with started(PEER, kubeconfig=real_cluster.kubeconfig) as coredns:
        query = dns.message.make_query("kubernetes.default.svc.cluster.local", "A")
        response = coredns.query(query, tcp=tcp)
    assert response.answer == [
        dns.rrset.from_text("kubernetes.default.svc.cluster.local.", 5, "IN", "A", "10.96.0.1"),
    ]


def test_faulty_corefile_is_shown() -> None:
    """A Corefile that CoreDNS refuses gives an exception with CoreDNS' own complaint."""
    with (
        pytest.raises(ProcessError, match="Unknown directive 'frobnicate'"),
        started(".:$port {\n    frobnicate\n}\n"),
    ):
        pass

"""``deploy/base/headlessdns.yaml``: the server takes the configuration that it is deployed with."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
import yaml

from headlessdns.cluster.objects import Key
from headlessdns.config import ConfigFile, Listen, load, unknown_variables
from headlessdns.errors import ConfigError
from headlessdns.names import from_text

DEPLOY = Path(__file__).parents[2] / "deploy"
FILE = DEPLOY / "base" / "headlessdns.yaml"

# What Kubernetes knows of a pod when it fills in its environment.
POD = {"metadata.name": "headlessdns-7c9f-x2x", "metadata.namespace": "headlessdns", "status.podIP": "10.244.1.53"}
# What the kubelet sets in every pod.
CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def file() -> ConfigFile:
    return ConfigFile(FILE.name, FILE.read_text())


def environment(*deployments: dict[str, Any]) -> dict[str, str]:
    """Return the variables that the container has by *deployments*, whole or patches, as the kubelet fills them in."""
    found = dict(CLUSTER)
    for deployment in deployments:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        for variable in container["env"]:
            value = variable.get("value") or POD[variable["valueFrom"]["fieldRef"]["fieldPath"]]
            for name, known in found.items():
                value = value.replace(f"$({name})", known)
            found[variable["name"]] = value
    return found


@pytest.fixture
def base() -> dict[str, str]:
    """The environment of the Deployment in ``base``."""
    return environment(yaml.safe_load((DEPLOY / "base" / "deployment.yaml").read_text()))


def test_the_file_is_taken_whole(base: dict[str, str]) -> None:
    """Each line of the file, and the Service that the environment names, is a setting of the server."""
    config = load({}, base, file(), hostname=base["POD_NAME"])
    assert config.listen == (Listen("0.0.0.0", 1053),)
    assert config.http == Listen("0.0.0.0", 9153)
    assert config.zone == from_text("cluster.local")
    assert config.workers == 2
    assert config.reverse == (ipaddress.ip_network("10.244.0.0/16"), ipaddress.ip_network("10.96.0.0/12"))
    assert config.resolver == Listen("10.96.0.10", 53)
    assert config.lameduck_s == 5
    assert config.serial_file == Path("/var/lib/headlessdns/serial")
    assert config.log == "json"
    assert config.service == Key("headlessdns", "headlessdns")
    assert config.server_id == "headlessdns-7c9f-x2x"


def test_it_reads_the_cluster_around_it(base: dict[str, str]) -> None:
    """Neither manifests nor a kubeconfig are named, so it is the pod's own cluster; outside of one that is a fault."""
    config = load({}, base, file())
    assert (config.manifests, config.kubeconfig, config.namespaces) == ((), None, ())
    with pytest.raises(ConfigError, match="nothing to serve"):
        load({}, {name: value for name, value in base.items() if name not in CLUSTER}, file())


def test_no_variable_is_a_slip(base: dict[str, str]) -> None:
    """Every variable of the Deployment that begins like ours is a setting."""
    assert unknown_variables(base) == []
    assert unknown_variables({"HEADLESSDNS_SERVCE": "headlessdns/headlessdns"}) != []


def test_one_namespace_is_watched_where_a_role_is_all() -> None:
    """The patch of ``namespaced`` makes the server watch the namespace that it runs in, and no other."""
    kustomization = yaml.safe_load((DEPLOY / "namespaced" / "kustomization.yaml").read_text())
    patches = [yaml.safe_load(patch["patch"]) for patch in kustomization["patches"]]
    (patch,) = (patch for patch in patches if patch["kind"] == "Deployment")
    whole = yaml.safe_load((DEPLOY / "base" / "deployment.yaml").read_text())
    assert load({}, environment(whole, patch), file()).namespaces == ("headlessdns",)


def test_a_variable_wins_over_the_file(base: dict[str, str]) -> None:
    """`kubectl set env` changes one setting, as the README says, and leaves the others."""
    config = load({}, base | {"HEADLESSDNS_ZONE": "headless.local"}, file())
    assert config.zone == from_text("headless.local")
    assert config.workers == 2

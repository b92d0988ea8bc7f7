"""Which API server a command talks to that is run as kubectl is, and in which namespace. I/O: files, the network.

kubectl takes the first of: ``--kubeconfig``, the files that KUBECONFIG lists, ``~/.kube/config``, the ServiceAccount of
the pod that it runs in. So does this. kubectl merges the files that KUBECONFIG lists; here one is taken as it is, the
first that has the context.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from headlessdns.errors import ClusterError

if TYPE_CHECKING:
    from headlessdns.cluster.client import ApiClient

VARIABLE = "KUBECONFIG"
HOME_CONFIG = Path(".kube") / "config"
_NOWHERE = (
    "there is no kubeconfig, and this is no pod of a cluster; add --kubeconfig FILE, or set KUBECONFIG as for kubectl"
)


class Access(NamedTuple):
    """How to reach a cluster.

    Attributes:
        kubeconfig: A file, None for the ServiceAccount of the pod that this runs in.
        context: A context in that file, None for its current one.
        namespace: Where objects are looked for.
    """

    kubeconfig: Path | None
    context: str | None
    namespace: str

    async def connect(self) -> ApiClient:
        """Return a client that may be used.

        Raises:
            ClusterError: There is none; one line that says what to do.
        """
        from headlessdns.cluster.client import connect  # the kubernetes package costs 0.3 s

        return await connect(self.kubeconfig, self.context)


def find(
    kubeconfig: Path | None, context: str | None, namespace: str | None, environ: Mapping[str, str], home: Path
) -> Access:
    """Return how to reach the cluster that is meant.

    Args:
        kubeconfig: What a flag says; None where it is not there.
        context: What a flag says.
        namespace: What a flag says.
        environ: The environment.
        home: The folder of the user.

    Raises:
        ClusterError: No file that is named can be used, or nothing is named and nothing is found.
    """
    file = kubeconfig or _from_variable(environ.get(VARIABLE, ""), context)
    if file is None and not environ.get(VARIABLE) and (home / HOME_CONFIG).is_file():
        file = home / HOME_CONFIG
    if file is not None:
        return Access(file, context, namespace or _namespace_in(file, context))
    if not environ.get("KUBERNETES_SERVICE_HOST"):
        raise ClusterError(_NOWHERE)
    if context:
        raise ClusterError(f"--context {context}: there is no kubeconfig that it could be in; add --kubeconfig FILE")
    return Access(None, None, namespace or _own_namespace())


def _from_variable(text: str, context: str | None) -> Path | None:
    """Return the first file of a list, as KUBECONFIG has it, that has the context that is meant.

    Raises:
        ClusterError: None of the files is there.
    """
    files = [Path(part) for part in text.split(os.pathsep) if part]
    there = [file for file in files if file.exists()]
    if files and not there:
        raise ClusterError(f"KUBECONFIG names {text}, and there is no such file; correct it, or add --kubeconfig FILE")
    wanted = context or next((name for file in there if (name := _read(file).get("current-context"))), None)
    return next((file for file in there if wanted in _contexts(_read(file))), there[0] if there else None)


def _namespace_in(file: Path, context: str | None) -> str:
    document = _read(file)
    found = _contexts(document).get(context or document.get("current-context"))
    return str((found or {}).get("namespace") or "default")


def _contexts(document: Mapping[str, Any]) -> dict[Any, Any]:
    """Return the contexts by name; none where *document* is no kubeconfig, which connecting says better."""
    entries = document.get("contexts")
    return {
        entry.get("name"): entry.get("context")
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("context"), dict)
    }


def _read(file: Path) -> dict[str, Any]:
    """Return what a kubeconfig holds; nothing where it cannot be read, which connecting says better."""
    try:
        document = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError):
        return {}
    return document if isinstance(document, dict) else {}


def _own_namespace() -> str:
    from headlessdns.cluster.client import SERVICE_ACCOUNT

    try:
        return (SERVICE_ACCOUNT / "namespace").read_text().strip() or "default"
    except OSError:
        return "default"

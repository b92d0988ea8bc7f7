"""The course with the `kubernetes` Python client: every command that is typed in it, as calls of the client.

The steps name commands of kubectl; here each has a method that does the same with the client and returns, in kubectl's
words, what the steps read of it.
"""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import kubernetes
import yaml
from kubernetes.client.exceptions import ApiException

from tests.lab.tutorials.course import LabCourse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Json = dict[str, Any]
CONFLICT, TOO_MANY = 409, 429
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


def flag(arguments: Sequence[str], name: str) -> str | None:
    """Return the value of a flag that is written as `--name=value`."""
    return next((one.partition("=")[2] for one in arguments if one.startswith(f"--{name}=")), None)


class ClientCourse(LabCourse):
    """A course in which kubectl is never run."""

    @functools.cached_property
    def _http(self) -> kubernetes.client.ApiClient:
        client: kubernetes.client.ApiClient = kubernetes.config.new_client_from_config(str(self.cluster.kubeconfig))
        return client

    @property
    def _apps(self) -> Any:
        return kubernetes.client.AppsV1Api(self._http)

    @property
    def _core(self) -> Any:
        return kubernetes.client.CoreV1Api(self._http)

    @property
    def _policy(self) -> Any:
        return kubernetes.client.PolicyV1Api(self._http)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Do what the command says, with the client."""
        for words, method in self._commands().items():
            if arguments[: len(words)] == words:
                rest = [one for one in arguments[len(words) :] if one != "--wait=false"]
                said = method(rest, stdin) if words == ("apply",) else method(rest)
                is_waited_for = "--wait=false" not in arguments
                if words == ("delete", "pod") and is_waited_for:
                    self._wait_gone(said.split())
                return said
        raise AssertionError(f"no step of the course types {arguments}")

    def _commands(self) -> dict[tuple[str, ...], Callable[..., str]]:
        return {
            ("apply",): self._apply,
            ("scale",): self._scale,
            ("patch", "statefulset"): self._patch,
            ("set", "image"): self._set_image,
            ("delete", "pod"): self._delete_pods,
            ("delete", "statefulset"): self._delete_set,
            ("rollout", "status"): self._rollout_status,
            ("rollout", "restart"): self._restart,
            ("rollout", "undo"): self._undo,
            ("rollout", "history"): self._history,
            ("get", "pdb"): self._budget,
            ("drain",): self._drain,
            ("uncordon",): self._uncordon,
        }

    # Commands

    def _apply(self, rest: list[str], stdin: str | None) -> str:
        """Create what is not there, and merge the rest, as who writes a deployment script does."""
        said = []
        for item in yaml.safe_load_all(stdin or ""):
            kind, name = item["kind"], item["metadata"]["name"]
            group = f".{item['apiVersion'].partition('/')[0]}" if "/" in item["apiVersion"] else ""
            try:
                kubernetes.utils.create_from_dict(self._http, item)
                what = "created"
            except kubernetes.utils.FailToCreateError as error:
                (refused,) = error.api_exceptions
                assert refused.status == CONFLICT, refused
                what = self._merge(kind, name, item)
            said.append(f"{kind.lower()}{group}/{name} {what}")
        return "\n".join(said) + "\n"

    def _merge(self, kind: str, name: str, item: Json) -> str:
        patch = {
            "Service": self._core.patch_namespaced_service,
            "StatefulSet": self._apps.patch_namespaced_stateful_set,
        }
        read = {"Service": self._core.read_namespaced_service, "StatefulSet": self._apps.read_namespaced_stateful_set}
        before = read[kind](name, self.namespace).metadata.resource_version
        after = patch[kind](name, self.namespace, item).metadata.resource_version
        return "unchanged" if after == before else "configured"

    def _scale(self, rest: list[str]) -> str:
        replicas = int(flag(rest, "replicas") or "")
        self._apps.patch_namespaced_stateful_set_scale(rest[1], self.namespace, {"spec": {"replicas": replicas}})
        return ""

    def _patch(self, rest: list[str]) -> str:
        # A list is sent as a JSON patch, an object as a strategic merge patch.
        self._apps.patch_namespaced_stateful_set(rest[0], self.namespace, json.loads(rest[-1]))
        return ""

    def _set_image(self, rest: list[str]) -> str:
        container, _, image = rest[1].partition("=")
        containers = [{"name": container, "image": image}]
        self._patch_template(rest[0], {"spec": {"containers": containers}})
        return ""

    def _patch_template(self, target: str, template: Json) -> None:
        name = target.partition("/")[2]
        self._apps.patch_namespaced_stateful_set(name, self.namespace, {"spec": {"template": template}})

    def _delete_pods(self, rest: list[str]) -> str:
        if rest[0] == "-l":
            pods = self._core.list_namespaced_pod(self.namespace, label_selector=rest[1]).items
        else:
            names = [one for one in rest if not one.startswith("--")]
            pods = [self._core.read_namespaced_pod(name, self.namespace) for name in names]
        more = {"grace_period_seconds": 0} if "--force" in rest else {}
        for pod in pods:
            self._core.delete_namespaced_pod(pod.metadata.name, self.namespace, **more)
        # The UIDs are for `_wait_gone`.
        self._deleted = {pod.metadata.uid for pod in pods}
        return "".join(f'pod "{pod.metadata.name}" deleted from {self.namespace} namespace\n' for pod in pods)

    def _wait_gone(self, said: list[str]) -> None:
        self.wait(lambda: not self._deleted & set(self.uids().values()), f"{said} to be gone")

    def _delete_set(self, rest: list[str]) -> str:
        policy = {"orphan": "Orphan"}.get(flag(rest, "cascade") or "", "Background")
        self._apps.delete_namespaced_stateful_set(rest[0], self.namespace, propagation_policy=policy)
        self.wait(lambda: not self.all("statefulsets"), "the set to be gone")
        return f'statefulset.apps "{rest[0]}" deleted\n'

    def _rollout_status(self, rest: list[str]) -> str:
        name = rest[0].partition("/")[2]

        def is_done() -> bool:
            found = self._apps.read_namespaced_stateful_set(name, self.namespace)
            status, rolling = found.status, found.spec.update_strategy.rolling_update
            wanted = found.spec.replicas - (rolling.partition or 0)
            is_seen = status.observed_generation == found.metadata.generation
            return is_seen and status.ready_replicas == found.spec.replicas and (status.updated_replicas or 0) >= wanted

        self.wait(is_done, f"the rollout of {name}")
        updated = self._apps.read_namespaced_stateful_set(name, self.namespace).status.updated_replicas
        return f"partitioned roll out complete: {updated} new pods have been updated...\n"

    def _restart(self, rest: list[str]) -> str:
        now = datetime.now(UTC).isoformat()
        self._patch_template(rest[0], {"metadata": {"annotations": {RESTARTED_AT: now}}})
        return f"{rest[0].replace('statefulset', 'statefulset.apps')} restarted\n"

    def _revisions(self) -> list[Any]:
        found = self._apps.list_namespaced_controller_revision(self.namespace).items
        return sorted(found, key=lambda one: int(one.revision))

    def _undo(self, rest: list[str]) -> str:
        name, number = rest[0].partition("/")[2], flag(rest, "to-revision")
        *_, before, _ = revisions = self._revisions()
        (wanted,) = [one for one in revisions if number == str(one.revision)] or [before]
        self._apps.patch_namespaced_stateful_set(name, self.namespace, wanted.data)
        return f"statefulset.apps/{name} rolled back\n"

    def _history(self, rest: list[str]) -> str:
        if number := flag(rest, "revision"):
            (found,) = [one for one in self._revisions() if str(one.revision) == number]
            containers = found.data["spec"]["template"]["spec"]["containers"]
            return "".join(f"Image:\t{one['image']}\n" for one in containers)
        return "".join(f"{one.revision} <none>\n" for one in self._revisions())

    # Budgets and nodes

    def _budget(self, rest: list[str]) -> str:
        found = self._policy.read_namespaced_pod_disruption_budget(rest[0], self.namespace)
        spec, status = found.spec, found.status
        row = [rest[0], spec.min_available or "N/A", spec.max_unavailable, status.disruptions_allowed, "1s"]
        return "the head\n" + " ".join(map(str, row)) + "\n"

    def _drain(self, rest: list[str]) -> str:
        """Cordon, and evict until every pod may go."""
        self._core.patch_node(rest[0], {"spec": {"unschedulable": True}})
        selector = flag(rest, "pod-selector")

        def is_drained() -> bool:
            pods = self._core.list_namespaced_pod(
                self.namespace, label_selector=selector, field_selector=f"spec.nodeName={rest[0]}"
            ).items
            for pod in pods:
                if pod.metadata.deletion_timestamp is None:
                    self._evict(pod.metadata.name)
            return not pods

        self.wait(is_drained, f"{rest[0]} to be drained")
        return ""

    def _evict(self, name: str) -> None:
        eviction = kubernetes.client.V1Eviction(metadata=kubernetes.client.V1ObjectMeta(name=name))
        try:
            self._core.create_namespaced_pod_eviction(name, self.namespace, eviction)
        except ApiException as error:
            if error.status != TOO_MANY:
                raise

    def _uncordon(self, rest: list[str]) -> str:
        self._core.patch_node(rest[0], {"spec": {"unschedulable": None}})
        return ""

"""The schema of OrdinalSets on a real API server, and what `controller.validate` says of the same table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headlessdns.controller import revisions
from headlessdns.controller.model import read_set
from headlessdns.controller.validate import faults, with_defaults
from tests.conftest import skip_or_fail
from tests.controller.test_validate import (
    ACCEPTED,
    ACCEPTED_AS_ORDINAL_SET,
    BASES,
    GONE,
    MISTYPED,
    ORDINAL_SET,
    REFUSED,
    REFUSED_AS_ORDINAL_SET,
    REFUSED_AS_STATEFUL_SET,
    ROLLING,
    SPARE_TEMPLATE,
    STATEFUL_SET,
    UNKNOWN_TO_THE_SCHEMA,
    Row,
    changed,
    claim,
    id_of,
    params,
    without_gone,
)
from tests.peers import PeerMissingError
from tests.peers.process import wait_until
from tests.realcluster.cluster import ApiError, Manifest, RealCluster

CRD = Path(__file__).parents[2] / "deploy" / "crd"
COLLECTIONS = {
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "OrdinalSet": "/apis/headlessdns.io/v1alpha1/namespaces/{}/ordinalsets",
}
MERGE = "application/merge-patch+json"
# The API server drops the field before it looks at it, unless this gate is open.
GATE = "--feature-gates=MaxUnavailableStatefulSet=true"
ABOUT_MAX_UNAVAILABLE = [row for row in REFUSED if row.where == f"{ROLLING}.maxUnavailable"]


ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


class Cause(NamedTuple):
    """Why the API server refuses."""

    field: str
    message: str


def is_served(cluster: RealCluster) -> bool:
    try:
        cluster.request("GET", COLLECTIONS["OrdinalSet"].format("default"))
    except ApiError:
        return False
    return True


@pytest.fixture(scope="module")
def cluster(real_cluster: RealCluster) -> RealCluster:
    """The control plane of the run, which knows OrdinalSets."""
    real_cluster.kubectl("apply", "-k", str(CRD))
    wait_until(lambda: is_served(real_cluster), "OrdinalSets to be served", deadline_s=20)
    return real_cluster


@pytest.fixture(scope="module")
def with_aggregation() -> Iterator[RealCluster]:
    """A control plane with the controller that puts rules into the roles of all namespaces."""
    try:
        own = RealCluster(controllers=("clusterrole-aggregation-controller",))
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with own:
        own.kubectl("apply", "-k", str(CRD))

        def is_done() -> bool:
            rules = own.request("GET", f"{ROLES}/admin")["rules"] or ()
            return sum(rule.get("apiGroups") == ["headlessdns.io"] for rule in rules) == 2

        wait_until(is_done, "the aggregated roles", deadline_s=30)
        yield own


@pytest.fixture(scope="module")
def gated() -> Iterator[RealCluster]:
    """A control plane that knows maxUnavailable of StatefulSets."""
    try:
        own = RealCluster(controllers=(), apiserver_flags=[GATE])
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with own:
        yield own


def make(cluster: RealCluster, manifest: Manifest, *, is_dry: bool = False) -> Manifest:
    path = COLLECTIONS[manifest["kind"]].format(manifest["metadata"]["namespace"])
    made: Manifest = cluster.request("POST", path + ("?dryRun=All" if is_dry else ""), manifest)
    return made


def causes_of(refusal: ApiError) -> list[Cause]:
    """Return the causes in the Status that came with a refusal."""
    text = str(refusal)
    status = json.loads(text[text.index("{") :])
    return [Cause(cause["field"], cause["message"]) for cause in status.get("details", {}).get("causes", ())]


def refused(cluster: RealCluster, row: Row, kind: str) -> list[Cause]:
    """Let the API server refuse the set of *row* and return why."""
    manifest = changed(BASES[kind], without_gone(row.changes))
    with pytest.raises(ApiError) as refusal:
        make(cluster, manifest, is_dry=True)
    return causes_of(refusal.value)


def place(row: Row, kind: str) -> str:
    return row.api_where.get(kind, row.where)


class TestSchema:
    def test_it_is_applied(self, cluster: RealCluster) -> None:
        """The API server takes the schema as it is, the costs of its rules included, and calls it structural."""
        output = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-k", str(CRD))
        assert "customresourcedefinition.apiextensions.k8s.io/ordinalsets.headlessdns.io" in output
        crd = json.loads(cluster.kubectl("get", "crd", "ordinalsets.headlessdns.io", "--output=json"))
        conditions = {each["type"]: each["status"] for each in crd["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}

    @pytest.mark.parametrize("row", params(REFUSED + REFUSED_AS_ORDINAL_SET))
    def test_what_it_refuses(self, cluster: RealCluster, row: Row) -> None:
        """Each rule refuses with its message at its field, where `faults` finds fault too."""
        found = refused(cluster, row, "OrdinalSet")
        messages = [each.message for each in found if each.field == place(row, "OrdinalSet")]
        assert any(row.says in message for message in messages), found

    @pytest.mark.parametrize("row", params(MISTYPED))
    def test_wrong_types(self, cluster: RealCluster, row: Row) -> None:
        """A value of another type than in a StatefulSet is refused."""
        where = place(row, "OrdinalSet")
        # Of some the field is not named, but the message ends in it.
        found = refused(cluster, row, "OrdinalSet")
        assert any(each.field == where or each.message.endswith(f" {where}") for each in found), found

    @pytest.mark.parametrize("row", ACCEPTED + ACCEPTED_AS_ORDINAL_SET, ids=id_of)
    def test_what_it_accepts(self, cluster: RealCluster, row: tuple[str, dict[str, Any]]) -> None:
        """What a StatefulSet may be, an OrdinalSet may be."""
        assert make(cluster, changed(ORDINAL_SET, row[1]), is_dry=True)["kind"] == "OrdinalSet"

    @pytest.mark.parametrize("row", params(UNKNOWN_TO_THE_SCHEMA))
    def test_what_it_leaves_to_the_pods(self, cluster: RealCluster, row: Row) -> None:
        """What ties containers to volumes is not in the schema; the controller looks at it."""
        made = make(cluster, changed(ORDINAL_SET, row.changes), is_dry=True)
        assert [fault.where for fault in faults(made)] == [row.where]

    @pytest.mark.parametrize(
        ("changes", "where"),
        [
            pytest.param({"spec": GONE}, "spec", id="specification"),
            pytest.param({"spec.template": GONE}, "spec.template", id="template"),
            pytest.param({"spec.template.spec": GONE}, "spec.template.spec", id="specification-of-the-pods"),
            pytest.param(
                {"spec.selector.matchExpressions": [{"key": "app"}]},
                "spec.selector.matchExpressions[0].operator",
                id="operator",
            ),
            pytest.param(
                {"spec.selector.matchExpressions": [{"operator": "Exists"}]},
                "spec.selector.matchExpressions[0].key",
                id="key",
            ),
            *(
                pytest.param({"spec.volumeClaimTemplates": [template]}, f"spec.volumeClaimTemplates[0].{where}", id=id)
                for template, where, id in (
                    ({"spec": claim("www")["spec"]}, "metadata", "metadata-of-a-claim"),
                    ({**claim("www"), "metadata": {}}, "metadata.name", "name-of-a-claim"),
                    ({"metadata": {"name": "www"}}, "spec", "specification-of-a-claim"),
                )
            ),
        ],
    )
    def test_what_has_to_be_there(self, cluster: RealCluster, changes: dict[str, Any], where: str) -> None:
        """What nothing can be made without is asked for, by the schema and by us."""
        found = refused(cluster, Row("", changes, ""), "OrdinalSet")
        assert [each.message for each in found if each.field == where] == ["Required value"]
        assert faults(changed(ORDINAL_SET, changes))

    @pytest.mark.parametrize("labels", [{"a=b": "c"}, {"a": "b c"}, {"A/b": "c"}, {"a/b/c": "d"}, {"-a": "b"}])
    def test_labels_of_the_selector(self, cluster: RealCluster, labels: dict[str, str]) -> None:
        """What is no label cannot be selected by either."""
        changes = {"spec.selector": {"matchLabels": labels}, "spec.template.metadata.labels": labels}
        row = Row("", changes, "")
        assert "spec.selector.matchLabels" in {each.field for each in refused(cluster, row, "StatefulSet")}
        assert {each.field for each in refused(cluster, row, "OrdinalSet")} == {
            "spec.selector.matchLabels",
            "spec.template.metadata.labels",
        }
        assert {fault.where for fault in faults(changed(ORDINAL_SET, changes))} == {
            "spec.selector.matchLabels",
            "spec.template.metadata.labels",
        }

    def test_many_faults_at_once(self, cluster: RealCluster) -> None:
        """Rules do not hide each other: all that are broken are told at once."""
        changes = {"spec.replicas": -1, "spec.minReadySeconds": -1, "spec.serviceName": "A", ROLLING: {"partition": -1}}
        found = refused(cluster, Row("", changes, ""), "OrdinalSet")
        assert {each.field for each in found} >= {
            "spec.replicas",
            "spec.minReadySeconds",
            "spec.serviceName",
            "spec.updateStrategy.rollingUpdate.partition",
        }


class TestDefaults:
    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({}, id="nothing"),
            pytest.param({"spec.updateStrategy": {}}, id="empty-strategy"),
            pytest.param({"spec.updateStrategy": {"type": "OnDelete"}}, id="OnDelete"),
            pytest.param({"spec.updateStrategy": {"type": "RollingUpdate"}}, id="type-alone"),
            pytest.param({"spec.updateStrategy": {"rollingUpdate": {}}}, id="rollingUpdate-alone"),
            pytest.param({"spec.persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}, id="half-a-policy"),
            pytest.param({"spec.ordinals": {}}, id="ordinals"),
            pytest.param({"spec.replicas": 0, "spec.revisionHistoryLimit": 0}, id="zeros"),
            pytest.param(
                {"spec.template": SPARE_TEMPLATE, "spec.volumeClaimTemplates": [claim("www")]}, id="templates"
            ),
        ],
    )
    @pytest.mark.parametrize("kind", BASES)
    def test_they_are_those_that_we_fill_in(self, cluster: RealCluster, changes: dict[str, Any], kind: str) -> None:
        """The specification that the API server stores is the one that `with_defaults` returns, in either kind."""
        manifest = changed(BASES[kind], changes)
        assert make(cluster, manifest, is_dry=True)["spec"] == with_defaults(manifest)["spec"]

    def test_a_stateful_set_from_a_file_has_the_revision_that_it_has_in_the_cluster(self, cluster: RealCluster) -> None:
        """A revision made from a file with its defaults has the bytes of one made from the stored StatefulSet."""
        manifest = changed(STATEFUL_SET, {"spec.template": SPARE_TEMPLATE})
        stored = read_set(make(cluster, manifest, is_dry=True))
        assert revisions.template_data(stored.template) == revisions.template_data(
            read_set(with_defaults(manifest)).template
        )

    def test_templates_stay_as_they_are_written(self, cluster: RealCluster, namespace: str) -> None:
        """Fields that no Kubernetes knows stay in the templates, and no defaults come in, now and after an update."""
        template = {
            "metadata": {"labels": {"app": "nginx"}, "creationTimestamp": None, "future": 1},
            "spec": {"containers": [{"name": "a", "image": "a", "future": {"x": [1, None]}}], "future": "x"},
        }
        claims = [{**claim("www"), "future": True}]
        changes = {"metadata.namespace": namespace, "spec.template": template, "spec.volumeClaimTemplates": claims}
        make(cluster, changed(ORDINAL_SET, changes))
        path = f"{COLLECTIONS['OrdinalSet'].format(namespace)}/web"
        updated = cluster.request("PATCH", path, {"spec": {"replicas": 2}}, MERGE)
        assert updated["spec"]["template"] == template
        assert updated["spec"]["volumeClaimTemplates"] == claims


# What an OrdinalSet that exists may become: what changes, and where that is refused; nowhere, where it is not.
CLAIMS = {"spec.volumeClaimTemplates": [claim("www", "2Gi"), claim("log")]}
UPDATES = [
    pytest.param({"spec.replicas": 5}, "", "", id="replicas"),
    pytest.param({"spec.ordinals": {"start": 3}}, "", "", id="start"),
    pytest.param({"spec.template.spec.containers.0.image": "nginx:2"}, "", "", id="image"),
    pytest.param({"spec.updateStrategy": {"type": "OnDelete"}}, "", "", id="updateStrategy"),
    pytest.param({"spec.minReadySeconds": 10}, "", "", id="minReadySeconds"),
    pytest.param({"spec.revisionHistoryLimit": 3}, "", "", id="revisionHistoryLimit"),
    pytest.param({"spec.persistentVolumeClaimRetentionPolicy.whenScaled": "Delete"}, "", "", id="retention"),
    pytest.param({"spec.podManagementPolicy": "Parallel"}, "", "", id="podManagementPolicy"),
    pytest.param({"spec.serviceName": "other"}, "", "", id="serviceName"),
    pytest.param({"spec.serviceName": GONE}, "", "", id="no-serviceName"),
    pytest.param(
        {"spec.selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
        "spec.selector",
        "field is immutable",
        id="selector",
    ),
    pytest.param({"spec.replicas": -1}, "spec.replicas", "must be greater than or equal to 0", id="negative-replicas"),
    pytest.param(
        {"spec.template.metadata.labels": {"app": "other"}},
        "spec.template.metadata.labels",
        "`selector` does not match template `labels`",
        id="labels-of-the-template",
    ),
    pytest.param({"spec.volumeClaimTemplates.0": claim("www", "3Gi")}, "", "", id="more-storage"),
    pytest.param({"spec.volumeClaimTemplates.0": claim("www", "2048Mi")}, "", "", id="as-much-in-other-words"),
    pytest.param(
        {"spec.volumeClaimTemplates.0": claim("www", "2Gi", storageClassName="fast")}, "", "", id="storage-class"
    ),
    pytest.param({"spec.volumeClaimTemplates": [claim("log"), claim("www", "2Gi")]}, "", "", id="order-of-claims"),
    pytest.param(
        {"spec.volumeClaimTemplates.0": claim("www", "1Gi")},
        "spec.volumeClaimTemplates",
        "storage of a claim can grow, not shrink",
        id="less-storage",
    ),
    pytest.param(
        {"spec.volumeClaimTemplates": [claim("www", "2Gi"), claim("log"), claim("new")]},
        "spec.volumeClaimTemplates",
        "claim templates can be neither added nor removed",
        id="one-more-claim",
    ),
    pytest.param(
        {"spec.volumeClaimTemplates": [claim("www", "2Gi")]},
        "spec.volumeClaimTemplates",
        "claim templates can be neither added nor removed",
        id="one-claim-less",
    ),
    pytest.param(
        {"spec.volumeClaimTemplates": GONE},
        "spec.volumeClaimTemplates",
        "claim templates can be neither added nor removed",
        id="no-claims",
    ),
    pytest.param(
        {"spec.volumeClaimTemplates.0": claim("renamed", "2Gi")},
        "spec.volumeClaimTemplates",
        "claim templates can be neither added nor removed",
        id="renamed-claim",
    ),
]


@pytest.fixture(scope="module")
def stored(cluster: RealCluster) -> Manifest:
    """An OrdinalSet with two claim templates that tries updates without keeping them."""
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ordinalset-updates"}})
    return make(cluster, changed(ORDINAL_SET, {**CLAIMS, "metadata.namespace": "ordinalset-updates"}))


class TestUpdates:
    @pytest.mark.parametrize(("changes", "where", "says"), UPDATES)
    def test_what_may_change(
        self, cluster: RealCluster, stored: Manifest, changes: dict[str, Any], where: str, says: str
    ) -> None:
        """The selector and the names of the claim templates are fixed, and storage does not shrink; all else may."""
        path = f"{COLLECTIONS['OrdinalSet'].format('ordinalset-updates')}/web"
        manifest = changed(cluster.request("GET", path), changes)
        if not where:
            cluster.request("PUT", f"{path}?dryRun=All", manifest)
            return
        with pytest.raises(ApiError) as refusal:
            cluster.request("PUT", f"{path}?dryRun=All", manifest)
        found = causes_of(refusal.value)
        assert [each.field for each in found if says in each.message] == [where], found

    def test_claims_cannot_be_added_to_a_set_without(self, cluster: RealCluster, namespace: str) -> None:
        """A set without claim templates gets none."""
        made = make(cluster, changed(ORDINAL_SET, {"metadata.namespace": namespace}))
        path = f"{COLLECTIONS['OrdinalSet'].format(namespace)}/web"
        with pytest.raises(ApiError) as refusal:
            cluster.request("PUT", path, changed(made, CLAIMS))
        assert "claim templates can be neither added nor removed" in str(refusal.value)

    @pytest.mark.parametrize(
        ("status", "where", "says"),
        [
            *(
                pytest.param(
                    {field: -1}, f"status.{field}", "must be greater than or equal to 0", id=f"{field}-below-0"
                )
                for field in (
                    "observedGeneration",
                    "replicas",
                    "readyReplicas",
                    "currentReplicas",
                    "updatedReplicas",
                    "availableReplicas",
                    "collisionCount",
                )
            ),
            *(
                pytest.param(
                    {"replicas": 2, "readyReplicas": 2, field: 3},
                    f"status.{field}",
                    "cannot be greater than status.replicas",
                    id=field,
                )
                for field in ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
            ),
            pytest.param(
                {"replicas": 2, "readyReplicas": 1, "availableReplicas": 2},
                "status.availableReplicas",
                "cannot be greater than status.readyReplicas",
                id="available-but-not-ready",
            ),
            pytest.param({"collisionCount": 1}, "status.collisionCount", "cannot be decremented", id="collisionCount"),
            pytest.param(
                {"conditions": [{"type": "Available", "status": "Maybe"}]},
                "status.conditions[0].status",
                'supported values: "True", "False", "Unknown"',
                id="condition",
            ),
            pytest.param(
                {"conditions": [{"type": "Available"}]},
                "status.conditions[0].status",
                "Required value",
                id="condition-without-status",
            ),
            pytest.param(
                {"conditions": [{"type": "Available", "status": "True", "lastTransitionTime": "noon"}]},
                "status.conditions[0].lastTransitionTime",
                "must be of type date-time",
                id="condition-without-time",
            ),
        ],
    )
    def test_status(
        self, cluster: RealCluster, stored: Manifest, status: dict[str, Any], where: str, says: str
    ) -> None:
        """The counts of a status agree with each other, as those of a StatefulSet have to."""
        path = f"{COLLECTIONS['OrdinalSet'].format('ordinalset-updates')}/web/status"
        cluster.request("PATCH", path, {"status": {"collisionCount": 2}}, MERGE)
        with pytest.raises(ApiError) as refusal:
            cluster.request("PATCH", f"{path}?dryRun=All", {"status": status}, MERGE)
        assert [each.field for each in causes_of(refusal.value) if says in each.message] == [where]

    def test_status_is_written_apart(self, cluster: RealCluster, namespace: str) -> None:
        """A write of the status leaves the specification and its generation alone, and the other way round."""
        made = make(cluster, changed(ORDINAL_SET, {"metadata.namespace": namespace}))
        path = f"{COLLECTIONS['OrdinalSet'].format(namespace)}/web"
        both = {"spec": {"replicas": 7}, "status": {"replicas": 3}}
        after_status = cluster.request("PATCH", f"{path}/status", both, MERGE)
        assert (after_status["spec"]["replicas"], after_status["status"]["replicas"]) == (1, 3)
        assert made["metadata"]["generation"] == after_status["metadata"]["generation"] == 1
        both = {"spec": {"replicas": 7}, "status": {"replicas": 4}}
        after_spec = cluster.request("PATCH", path, both, MERGE)
        assert (after_spec["spec"]["replicas"], after_spec["status"]["replicas"]) == (7, 3)
        assert after_spec["metadata"]["generation"] == 2

    def test_conditions_of_others_stay_whole(self, cluster: RealCluster, stored: Manifest) -> None:
        """A condition keeps fields that we do not know."""
        condition = {"type": "example.com/Checked", "status": "True", "probe": "x"}
        path = f"{COLLECTIONS['OrdinalSet'].format('ordinalset-updates')}/web/status?dryRun=All"
        done = cluster.request("PATCH", path, {"status": {"conditions": [condition]}}, MERGE)
        assert done["status"]["conditions"] == [condition]


class TestKubectl:
    @pytest.fixture
    def web(self, cluster: RealCluster, namespace: str) -> Manifest:
        """An OrdinalSet of three, of which two run."""
        changes = {"metadata.namespace": namespace, "spec.replicas": 3}
        made = make(cluster, changed(ORDINAL_SET, changes))
        status = {
            "replicas": 3,
            "readyReplicas": 2,
            "updatedReplicas": 1,
            "availableReplicas": 0,
            "labelSelector": "app=nginx",
            "conditions": [{"type": "Available", "status": "True"}],
        }
        path = f"{COLLECTIONS['OrdinalSet'].format(namespace)}/web/status"
        cluster.request("PATCH", path, {"status": status}, MERGE)
        return made

    def test_scale(self, cluster: RealCluster, namespace: str, web: Manifest) -> None:
        """`kubectl scale` and autoscalers find replicas and selector."""
        where = f"--namespace={namespace}"
        output = cluster.kubectl("scale", "ordinalset/web", "--current-replicas=3", "--replicas=5", where)
        assert output == "ordinalset.headlessdns.io/web scaled\n"
        scale = cluster.request("GET", f"{COLLECTIONS['OrdinalSet'].format(namespace)}/web/scale")
        assert scale["spec"] == {"replicas": 5}
        assert scale["status"] == {"replicas": 3, "selector": "app=nginx"}

    def test_get(self, cluster: RealCluster, namespace: str, web: Manifest) -> None:
        """`kubectl get oset` shows how far it is, and with --output=wide what runs."""
        output = cluster.kubectl("get", "oset", "--output=wide", f"--namespace={namespace}")
        header, row = (line.split() for line in output.splitlines())
        assert header == ["NAME", "DESIRED", "READY", "UPDATED", "AVAILABLE", "AGE", "CONTAINER", "IMAGE"]
        assert [*row[:5], *row[6:]] == ["web", "3", "2", "1", "0", "nginx", "nginx:1.27"]
        narrow = cluster.kubectl("get", "oset", f"--namespace={namespace}").splitlines()[0].split()
        assert narrow == ["NAME", "DESIRED", "READY", "UPDATED", "AVAILABLE", "AGE"]
        assert "ordinalset.headlessdns.io/web" in cluster.kubectl("get", "all", f"--namespace={namespace}")

    def test_wait(self, cluster: RealCluster, namespace: str, web: Manifest) -> None:
        """`kubectl wait` understands the conditions."""
        where = f"--namespace={namespace}"
        output = cluster.kubectl("wait", "--for=condition=Available", "oset/web", "--timeout=10s", where)
        assert output == "ordinalset.headlessdns.io/web condition met\n"

    def test_explain(self, cluster: RealCluster, web: Manifest) -> None:
        """`kubectl explain` describes the fields, with their values and defaults."""
        spec = cluster.kubectl("explain", "ordinalset.spec")
        assert "GROUP:      headlessdns.io" in spec
        for field in ("replicas", "template", "reserveOrdinals", "claimGrowth", "progressDeadlineSeconds", "paused"):
            assert f"  {field}\t<" in spec
        growth = cluster.kubectl("explain", "ordinalset.spec.claimGrowth")
        assert "ENUM:\n    Never\n    Expand" in growth

    def test_server_side_apply_merges_containers_by_name(self, cluster: RealCluster, namespace: str) -> None:
        """Two managers may each have a container of their own in the template, as in a StatefulSet."""
        apply = ("apply", "--server-side", "--filename=-", f"--namespace={namespace}")
        mine = changed(ORDINAL_SET, {"metadata.namespace": namespace})
        cluster.kubectl(*apply, "--field-manager=me", stdin=json.dumps(mine))
        template = {"spec": {"containers": [{"name": "sidecar", "image": "sidecar:1"}]}}
        theirs = {**mine, "spec": {"selector": mine["spec"]["selector"], "template": template}}
        cluster.kubectl(*apply, "--field-manager=they", stdin=json.dumps(theirs))
        made = cluster.request("GET", f"{COLLECTIONS['OrdinalSet'].format(namespace)}/web")
        containers = made["spec"]["template"]["spec"]["containers"]
        assert [each["name"] for each in containers] == ["nginx", "sidecar"]

    @pytest.mark.parametrize("role", ["view", "edit", "admin"])
    def test_roles_of_a_namespace(self, with_aggregation: RealCluster, role: str) -> None:
        """Whoever may view or edit a namespace may do that with its OrdinalSets, and nobody writes the status."""
        rules = [
            (resource, verb)
            for rule in with_aggregation.request("GET", f"{ROLES}/{role}")["rules"]
            if rule.get("apiGroups") == ["headlessdns.io"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        ]
        looks = {"get", "list", "watch"}
        writes = {"create", "update", "patch", "delete", "deletecollection"} if role != "view" else set()
        assert {verb for resource, verb in rules if resource == "ordinalsets"} == looks | writes
        assert {verb for resource, verb in rules if resource == "ordinalsets/scale"} == looks | writes
        assert {verb for resource, verb in rules if resource == "ordinalsets/status"} == looks


class TestStatefulSets:
    """`faults` agrees with the API server about StatefulSets."""

    def check(self, cluster: RealCluster, row: Row) -> None:
        found = refused(cluster, row, "StatefulSet")
        messages = [each.message for each in found if each.field == place(row, "StatefulSet")]
        assert any(row.says in message for message in messages), found

    @pytest.mark.parametrize(
        "row", params([row for row in REFUSED + REFUSED_AS_STATEFUL_SET if row not in ABOUT_MAX_UNAVAILABLE])
    )
    def test_what_is_refused(self, cluster: RealCluster, row: Row) -> None:
        """The API server refuses at the field, and in the words, that `faults` tells."""
        self.check(cluster, row)

    @pytest.mark.parametrize("row", params(ABOUT_MAX_UNAVAILABLE))
    def test_max_unavailable(self, gated: RealCluster, row: Row) -> None:
        """An API server that knows maxUnavailable refuses it at the field, and in the words, that `faults` tells."""
        self.check(gated, row)

    def test_max_unavailable_is_dropped(self, cluster: RealCluster) -> None:
        """An API server with the gate closed drops the field, so that annotations have to say it."""
        made = make(cluster, changed(STATEFUL_SET, {ROLLING: {"maxUnavailable": 2}}), is_dry=True)
        assert made["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0}

    @pytest.mark.parametrize("row", params(MISTYPED))
    def test_wrong_types(self, cluster: RealCluster, row: Row) -> None:
        """What `faults` calls a wrong type, the API server cannot read."""
        with pytest.raises(ApiError) as refusal:
            make(cluster, changed(STATEFUL_SET, row.changes), is_dry=True)
        assert refusal.value.status == 400

    @pytest.mark.parametrize("row", ACCEPTED, ids=id_of)
    def test_what_is_accepted(self, cluster: RealCluster, row: tuple[str, dict[str, Any]]) -> None:
        """What `faults` lets pass, the API server accepts."""
        assert make(cluster, changed(STATEFUL_SET, row[1]), is_dry=True)["kind"] == "StatefulSet"

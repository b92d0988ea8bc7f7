"""What is refused, and what is filled in: one table for files, for the API server and for the schema of OrdinalSets.

``tests/realcluster/test_ordinalset.py`` asks a real API server about the rows of this file.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns.controller.model import read_set
from headlessdns.controller.validate import faults, with_defaults

Json = dict[str, Any]

STATEFUL_SET: Json = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "serviceName": "nginx",
        "selector": {"matchLabels": {"app": "nginx"}},
        "template": {
            "metadata": {"labels": {"app": "nginx"}},
            "spec": {"containers": [{"name": "nginx", "image": "nginx:1.27"}]},
        },
    },
}
ORDINAL_SET: Json = {**STATEFUL_SET, "apiVersion": "headlessdns.io/v1alpha1", "kind": "OrdinalSet"}
BASES = {"StatefulSet": STATEFUL_SET, "OrdinalSet": ORDINAL_SET}

GONE = object()


def claim(name: str, storage: str = "1Gi", **spec: Any) -> Json:
    return {
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}, **spec},
    }


def changed(base: Json, changes: dict[str, Any]) -> Json:
    """Return *base* with other values at paths such as ``spec.template.spec.containers.0.name``."""
    made = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = made
        for step in parents:
            place = place[int(step)] if step.isdigit() else place.setdefault(step, {})
        if value is GONE:
            del place[last]
        else:
            place[int(last) if last.isdigit() else last] = copy.deepcopy(value)
    return made


class Row(NamedTuple):
    """A set that is refused.

    Attributes:
        id: What it shows.
        changes: What is different from the base.
        where: The path at fault.
        says: Words of the API server that the remedy repeats.
        api_where: The path at which the API server finds fault, by kind, where that is another one.
    """

    id: str
    changes: dict[str, Any]
    where: str
    says: str = ""
    api_where: Mapping[str, str] = MappingProxyType({})


def params(rows: list[Row]) -> list[Any]:
    return [pytest.param(row, id=row.id.replace(" ", "-")) for row in rows]


ROLLING = "spec.updateStrategy.rollingUpdate"
MOUNT = "spec.template.spec.containers.0.volumeMounts"
STORAGE = "spec.volumeClaimTemplates[0].spec.resources.requests.storage"
IN_BRACKETS = {"StatefulSet": "spec.volumeClaimTemplates[0].spec.resources[storage]"}
LONG = "a" * 64
AT_LEAST_0 = "must be greater than or equal to 0"

REFUSED = [
    Row("name with dots", {"metadata.name": "abc.123"}, "metadata.name"),
    Row("name with capitals", {"metadata.name": "Web"}, "metadata.name"),
    Row("name of 64 octets", {"metadata.name": LONG}, "metadata.name"),
    Row("no name", {"metadata.name": GONE}, "metadata.name"),
    Row("label key with an equals sign", {"metadata.labels": {"a=b": "c"}}, "metadata.labels"),
    Row("label value of 64 octets", {"metadata.labels": {"a": LONG}}, "metadata.labels"),
    Row("annotation key with an equals sign", {"metadata.annotations": {"a=b": "c"}}, "metadata.annotations"),
    Row("no selector", {"spec.selector": GONE}, "spec.selector", "Required value"),
    Row("selector that does not match", {"spec.selector": {"matchLabels": {"app": "other"}}},
        "spec.template.metadata.labels", "`selector` does not match template `labels`"),
    Row("no labels for the selector", {"spec.template.metadata": {}},
        "spec.template.metadata.labels", "`selector` does not match template `labels`"),
    Row("expression that does not match",
        {"spec.selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["nginx"]}]}},
        "spec.template.metadata.labels", "`selector` does not match template `labels`"),
    Row("expression about a missing label",
        {"spec.selector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}},
        "spec.template.metadata.labels", "`selector` does not match template `labels`"),
    Row("expression without values", {"spec.selector.matchExpressions": [{"key": "app", "operator": "In"}]},
        "spec.selector.matchExpressions[0].values", "must be specified when `operator` is 'In' or 'NotIn'"),
    Row("Exists with values",
        {"spec.selector.matchExpressions": [{"key": "app", "operator": "Exists", "values": ["nginx"]}]},
        "spec.selector.matchExpressions[0].values",
        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
    Row("expression with a value of 64 octets",
        {"spec.selector.matchExpressions": [{"key": "app", "operator": "NotIn", "values": [LONG]}]},
        "spec.selector.matchExpressions[0].values[0]"),
    Row("expression with a value with a space",
        {"spec.selector.matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a b"]}]},
        "spec.selector.matchExpressions[0].values[0]"),
    Row("label in the template with a space", {"spec.template.metadata.labels": {"app": "nginx", "a": "b c"}},
        "spec.template.metadata.labels", api_where={"StatefulSet": "spec.template.labels"}),
    Row("label in the template with an invalid key", {"spec.template.metadata.labels": {"app": "nginx", "a=b": "c"}},
        "spec.template.metadata.labels", api_where={"StatefulSet": "spec.template.labels"}),
    Row("container of a name of 64 octets", {"spec.template.spec.containers.0.name": LONG},
        "spec.template.spec.containers[0].name"),
    Row("init container of a name with capitals",
        {"spec.template.spec.initContainers": [{"name": "Init", "image": "a"}]},
        "spec.template.spec.initContainers[0].name"),
    Row("init container of a name of 64 octets",
        {"spec.template.spec.initContainers": [{"name": LONG, "image": "a"}]},
        "spec.template.spec.initContainers[0].name"),
    Row("init container without an image", {"spec.template.spec.initContainers": [{"name": "a"}]},
        "spec.template.spec.initContainers[0].image"),
    Row("claim template without resources", {"spec.volumeClaimTemplates": [{**claim("www"), "spec": {
        "accessModes": ["ReadWriteOnce"]}}]}, STORAGE, "",
        {**IN_BRACKETS, "OrdinalSet": "spec.volumeClaimTemplates[0].spec.resources"}),
    Row("claim template without requests", {"spec.volumeClaimTemplates": [claim("www", resources={})]}, STORAGE, "",
        {**IN_BRACKETS, "OrdinalSet": "spec.volumeClaimTemplates[0].spec.resources.requests"}),
    Row("negative replicas", {"spec.replicas": -1}, "spec.replicas", AT_LEAST_0),
    Row("negative minReadySeconds", {"spec.minReadySeconds": -1}, "spec.minReadySeconds", AT_LEAST_0),
    Row("negative start", {"spec.ordinals": {"start": -2}}, "spec.ordinals.start", AT_LEAST_0),
    Row("negative partition", {ROLLING: {"partition": -1}}, f"{ROLLING}.partition", AT_LEAST_0),
    Row("rollingUpdate with OnDelete", {"spec.updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}},
        ROLLING, "only allowed for updateStrategy 'RollingUpdate'"),
    Row("retention when deleted", {"spec.persistentVolumeClaimRetentionPolicy.whenDeleted": "Keep"},
        "spec.persistentVolumeClaimRetentionPolicy.whenDeleted", 'supported values: "Retain", "Delete"'),
    Row("retention when scaled", {"spec.persistentVolumeClaimRetentionPolicy.whenScaled": "Keep"},
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled", 'supported values: "Retain", "Delete"'),
    Row("serviceName with dots", {"spec.serviceName": "Invalid.Name"}, "spec.serviceName"),
    Row("serviceName of 64 octets", {"spec.serviceName": LONG}, "spec.serviceName"),
    Row("restartPolicy OnFailure", {"spec.template.spec.restartPolicy": "OnFailure"},
        "spec.template.spec.restartPolicy", 'supported values: "Always"'),
    Row("restartPolicy Never", {"spec.template.spec.restartPolicy": "Never"}, "spec.template.spec.restartPolicy"),
    Row("no containers", {"spec.template.spec.containers": GONE},
        "spec.template.spec.containers", "Required value"),
    Row("empty containers", {"spec.template.spec.containers": []}, "spec.template.spec.containers"),
    Row("container without a name", {"spec.template.spec.containers": [{"image": "nginx"}]},
        "spec.template.spec.containers[0].name"),
    Row("container without an image", {"spec.template.spec.containers": [{"name": "nginx"}]},
        "spec.template.spec.containers[0].image"),
    Row("claim template without accessModes", {"spec.volumeClaimTemplates": [claim("www", accessModes=GONE)]},
        "spec.volumeClaimTemplates[0].spec.accessModes"),
    Row("claim template with no accessModes", {"spec.volumeClaimTemplates": [claim("www", accessModes=[])]},
        "spec.volumeClaimTemplates[0].spec.accessModes"),
    Row("claim template of no storage", {"spec.volumeClaimTemplates": [claim("www", "0")]},
        STORAGE, "must be greater than zero", IN_BRACKETS),
    Row("claim template of negative storage", {"spec.volumeClaimTemplates": [claim("www", "-1Gi")]},
        STORAGE, "", IN_BRACKETS),
    Row("claim template without storage", {"spec.volumeClaimTemplates": [claim("www", resources={"requests": {}})]},
        STORAGE, "", IN_BRACKETS),
    Row("zero maxUnavailable", {ROLLING: {"maxUnavailable": 0}}, f"{ROLLING}.maxUnavailable", "cannot be 0"),
    Row("zero percent", {ROLLING: {"maxUnavailable": "0%"}}, f"{ROLLING}.maxUnavailable", "cannot be 0"),
    Row("more than 100 percent", {ROLLING: {"maxUnavailable": "101%"}}, f"{ROLLING}.maxUnavailable",
        "must not be greater than 100%"),
    Row("negative maxUnavailable", {ROLLING: {"maxUnavailable": -1}}, f"{ROLLING}.maxUnavailable", AT_LEAST_0),
    Row("maxUnavailable in words", {ROLLING: {"maxUnavailable": "half"}}, f"{ROLLING}.maxUnavailable",
        "a valid percent string must be a numeric string followed by an ending '%'"),
    Row("selector with an invalid key",
        {"spec.selector.matchExpressions": [{"key": "a=b", "operator": "DoesNotExist"}]},
        "spec.selector.matchExpressions[0].key"),
    Row("label in the template of 64 octets", {"spec.template.metadata.labels": {"app": "nginx", "a": LONG}},
        "spec.template.metadata.labels", api_where={
            "StatefulSet": "spec.template.labels", "OrdinalSet": "spec.template.metadata.labels.a"}),
    Row("container of a name with capitals", {"spec.template.spec.containers.0.name": "Nginx"},
        "spec.template.spec.containers[0].name"),
]  # fmt: skip

REFUSED_AS_STATEFUL_SET = [
    Row("empty selector", {"spec.selector": {}}, "spec.selector", "empty selector is invalid for statefulset"),
    Row("unknown pod management policy", {"spec.podManagementPolicy": "foo"},
        "spec.podManagementPolicy", "must be 'OrderedReady' or 'Parallel'"),
    Row("unknown update strategy", {"spec.updateStrategy": {"type": "foo"}},
        "spec.updateStrategy", "must be 'RollingUpdate' or 'OnDelete'"),
    Row("activeDeadlineSeconds", {"spec.template.spec.activeDeadlineSeconds": 60},
        "spec.template.spec.activeDeadlineSeconds", "activeDeadlineSeconds in StatefulSet is not Supported"),
    Row("unknown operator", {"spec.selector.matchExpressions": [{"key": "app", "operator": "Is", "values": ["a"]}]},
        "spec.selector.matchExpressions[0].operator"),
    Row("annotation in the template with an invalid key", {"spec.template.metadata.annotations": {"a=b": "c"}},
        "spec.template.metadata.annotations", api_where={"StatefulSet": "spec.template.annotations"}),
    Row("two containers of one name",
        {"spec.template.spec.containers": [{"name": "a", "image": "a"}, {"name": "a", "image": "b"}]},
        "spec.template.spec.containers[1].name", "Duplicate value"),
    Row("mount of no volume", {MOUNT: [{"name": "test", "mountPath": "/test"}]},
        "spec.template.spec.containers[0].volumeMounts[0].name", "Not found"),
    Row("mount of another claim template",
        {MOUNT: [{"name": "test", "mountPath": "/test"}], "spec.volumeClaimTemplates": [claim("test1")]},
        "spec.template.spec.containers[0].volumeMounts[0].name", "Not found"),
    Row("two volumes of one name",
        {"spec.template.spec.volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]},
        "spec.template.spec.volumes[1].name", "Duplicate value"),
    Row("claim template of a name with capitals", {"spec.volumeClaimTemplates": [claim("WWW")]},
        "spec.volumeClaimTemplates[0].metadata.name", api_where={"StatefulSet": "spec.template.spec.volumes[0].name"}),
]  # fmt: skip

REFUSED_AS_ORDINAL_SET = [
    Row("empty selector", {"spec.selector": {}}, "spec.selector", "empty selector is invalid for ordinalset"),
    Row("unknown pod management policy", {"spec.podManagementPolicy": "foo"},
        "spec.podManagementPolicy", 'supported values: "OrderedReady", "Parallel"'),
    Row("unknown update strategy", {"spec.updateStrategy": {"type": "foo"}},
        "spec.updateStrategy.type", 'supported values: "RollingUpdate", "OnDelete"'),
    Row("claim template without a name", {"spec.volumeClaimTemplates": [{**claim("www"), "metadata": {}}]},
        "spec.volumeClaimTemplates[0].metadata.name", "Required value"),
    Row("unknown operator", {"spec.selector.matchExpressions": [{"key": "app", "operator": "Is", "values": ["a"]}]},
        "spec.selector.matchExpressions[0].operator", 'supported values: "In", "NotIn", "Exists", "DoesNotExist"'),
    Row("activeDeadlineSeconds", {"spec.template.spec.activeDeadlineSeconds": 60},
        "spec.template.spec.activeDeadlineSeconds", "activeDeadlineSeconds in OrdinalSet is not Supported"),
    Row("two claim templates of one name", {"spec.volumeClaimTemplates": [claim("www"), claim("www")]},
        "spec.volumeClaimTemplates[1].metadata.name", api_where={"OrdinalSet": "spec.volumeClaimTemplates"}),
    Row("claim template of a name with capitals", {"spec.volumeClaimTemplates": [claim("WWW")]},
        "spec.volumeClaimTemplates[0].metadata.name"),
    Row("two containers of one name",
        {"spec.template.spec.containers": [{"name": "a", "image": "a"}, {"name": "a", "image": "b"}]},
        "spec.template.spec.containers[1].name", api_where={"OrdinalSet": "spec.template.spec.containers[1]"}),
    Row("two volumes of one name",
        {"spec.template.spec.volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]},
        "spec.template.spec.volumes[1].name", api_where={"OrdinalSet": "spec.template.spec.volumes[1]"}),
    Row("reserved word", {"spec.reserveOrdinals": [1, "two"]}, "spec.reserveOrdinals[1]"),
    Row("reserved negative ordinal", {"spec.reserveOrdinals": [-1]}, "spec.reserveOrdinals[0]"),
    Row("reserved range backwards", {"spec.reserveOrdinals": ["5-3"]}, "spec.reserveOrdinals[0]"),
    Row("reserved range of 10001", {"spec.reserveOrdinals": ["0-10000"]}, "spec.reserveOrdinals[0]"),
    Row("reserved ordinal above 2147483647", {"spec.reserveOrdinals": ["2147483648"]}, "spec.reserveOrdinals[0]"),
    Row("unknown claimGrowth", {"spec.claimGrowth": "Shrink"},
        "spec.claimGrowth", 'supported values: "Never", "Expand"'),
    Row("no progress deadline", {"spec.progressDeadlineSeconds": 0},
        "spec.progressDeadlineSeconds", "must be greater than or equal to 1"),
    Row("progress deadline above 2147483647", {"spec.progressDeadlineSeconds": 2147483648},
        "spec.progressDeadlineSeconds", api_where={"OrdinalSet": "<nil>"}),
    Row("ordinals above 2147483647", {"spec.ordinals": {"start": 2147483647}, "spec.replicas": 2}, "spec.replicas"),
]  # fmt: skip

# What only we know of an OrdinalSet: its schema leaves these to the API server's word on the pods.
UNKNOWN_TO_THE_SCHEMA = [
    Row("annotation in the template with an invalid key", {"spec.template.metadata.annotations": {"a=b": "c"}},
        "spec.template.metadata.annotations"),
    Row("mount of no volume", {MOUNT: [{"name": "test", "mountPath": "/test"}]},
        "spec.template.spec.containers[0].volumeMounts[0].name", "Not found"),
    Row("device of no volume",
        {"spec.template.spec.containers.0.volumeDevices": [{"name": "test", "devicePath": "/dev/test"}]},
        "spec.template.spec.containers[0].volumeDevices[0].name", "Not found"),
]  # fmt: skip

# The API server cannot even read these, and so names no field of a StatefulSet.
MISTYPED = [
    Row("replicas in quotes", {"spec.replicas": "3"}, "spec.replicas"),
    Row("replicas with a fraction", {"spec.replicas": 1.5}, "spec.replicas"),
    Row("replicas true", {"spec.replicas": True}, "spec.replicas"),
    Row("replicas above 2147483647", {"spec.replicas": 2147483648}, "spec.replicas"),
    Row("start above 2147483647", {"spec.ordinals": {"start": 2147483648}}, "spec.ordinals.start"),
    Row("minReadySeconds above 2147483647", {"spec.minReadySeconds": 2147483648}, "spec.minReadySeconds"),
    Row("history limit above 2147483647", {"spec.revisionHistoryLimit": 2147483648}, "spec.revisionHistoryLimit"),
    Row("partition above 2147483647", {ROLLING: {"partition": 2147483648}}, f"{ROLLING}.partition"),
    Row("label that is a number", {"spec.template.metadata.labels": {"app": "nginx", "a": 1}},
        "spec.template.metadata.labels[a]", api_where={"OrdinalSet": "spec.template.metadata.labels.a"}),
    Row("containers that are a map", {"spec.template.spec.containers": {"name": "nginx"}},
        "spec.template.spec.containers"),
    Row("selector that is a list", {"spec.selector": ["app"]}, "spec.selector"),
    Row("storage in words", {"spec.volumeClaimTemplates": [claim("www", "ten")]}, STORAGE),
    Row("claim templates that are a map", {"spec.volumeClaimTemplates": claim("www")}, "spec.volumeClaimTemplates"),
]  # fmt: skip

ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("as it is", {}),
    ("letters and digits in the name", {"metadata.name": "abc-123"}),
    ("name of 63 octets", {"metadata.name": "a" * 63}),
    ("hostNetwork", {"spec.template.spec.hostNetwork": True}),
    ("Parallel", {"spec.podManagementPolicy": "Parallel"}),
    ("OrderedReady", {"spec.podManagementPolicy": "OrderedReady"}),
    ("OnDelete", {"spec.updateStrategy": {"type": "OnDelete"}}),
    ("partition", {"spec.replicas": 3, ROLLING: {"partition": 2}}),
    ("retention", {"spec.persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"}}),
    ("maxUnavailable", {ROLLING: {"maxUnavailable": 2}}),
    ("maxUnavailable of all", {ROLLING: {"maxUnavailable": "100%"}}),
    ("start ordinal", {"spec.ordinals": {"start": 2}}),
    ("no replicas", {"spec.replicas": 0}),
    ("negative history limit", {"spec.revisionHistoryLimit": -1}),
    ("empty serviceName", {"spec.serviceName": ""}),
    ("no serviceName", {"spec.serviceName": GONE}),
    ("null for what is left out", {"spec.replicas": None, "spec.updateStrategy": None}),
    ("hostname and subdomain that are none",
     {"spec.template.spec.hostname": "A=b", "spec.template.spec.subdomain": "C=d"}),
    ("mount of a claim template",
     {MOUNT: [{"name": "test", "mountPath": "/test"}], "spec.volumeClaimTemplates": [claim("test")]}),
    ("claim templates that take the place of volumes",
     {MOUNT: [{"name": "test", "mountPath": "/test"}],
      "spec.template.spec.volumes": [{"name": "test", "emptyDir": {}}, {"name": "test2", "emptyDir": {}}],
      "spec.volumeClaimTemplates": [claim("test"), claim("test2")]}),
    ("expressions",
     {"spec.selector": {"matchExpressions": [
         {"key": "app", "operator": "In", "values": ["nginx", "apache"]},
         {"key": "app", "operator": "Exists"},
         {"key": "tier", "operator": "DoesNotExist"},
         {"key": "tier", "operator": "NotIn", "values": ["db"]},
     ]}}),
    ("labels with a prefix",
     {"spec.selector": {"matchLabels": {"example.com/app_1": "Nginx.1"}},
      "spec.template.metadata.labels": {"example.com/app_1": "Nginx.1", "empty": ""}}),
    ("storage in every notation",
     {"spec.volumeClaimTemplates": [claim("a", "1.5Gi"), claim("b", "1e9"), claim("c", "500M"), claim("d", ".5Ti")]}),
]  # fmt: skip

ACCEPTED_AS_ORDINAL_SET: list[tuple[str, dict[str, Any]]] = [
    ("every field of its own",
     {"spec.paused": True, "spec.reserveOrdinals": [1, "3", "5-7"], "spec.claimGrowth": "Expand",
      "spec.progressDeadlineSeconds": 1}),
    ("ordinals up to 2147483647", {"spec.ordinals": {"start": 2147483647}, "spec.replicas": 1}),
]  # fmt: skip


def id_of(row: tuple[str, dict[str, Any]]) -> str:
    return row[0].replace(" ", "-")


class TestFaults:
    def check(self, row: Row, kind: str) -> None:
        found = faults(changed(BASES[kind], without_gone(row.changes)))
        assert [fault.where for fault in found] == [row.where]
        assert row.says in found[0].remedy

    @pytest.mark.parametrize("kind", BASES)
    @pytest.mark.parametrize("row", params(REFUSED + MISTYPED))
    def test_what_both_kinds_refuse(self, row: Row, kind: str) -> None:
        """A broken rule is named by the path of its field, with the words of the API server."""
        self.check(row, kind)

    @pytest.mark.parametrize("row", params(REFUSED_AS_STATEFUL_SET))
    def test_what_a_stateful_set_refuses(self, row: Row) -> None:
        """What a StatefulSet refuses in words of its own is told in those."""
        self.check(row, "StatefulSet")

    @pytest.mark.parametrize("row", params(REFUSED_AS_ORDINAL_SET + UNKNOWN_TO_THE_SCHEMA))
    def test_what_an_ordinal_set_refuses(self, row: Row) -> None:
        """An OrdinalSet has rules for its own fields, and keeps all that its pods need to be created."""
        self.check(row, "OrdinalSet")

    @pytest.mark.parametrize("kind", BASES)
    @pytest.mark.parametrize("row", ACCEPTED, ids=id_of)
    def test_what_both_kinds_accept(self, row: tuple[str, dict[str, Any]], kind: str) -> None:
        """What an API server accepts has no faults."""
        assert faults(changed(BASES[kind], row[1])) == []

    @pytest.mark.parametrize("row", ACCEPTED_AS_ORDINAL_SET, ids=id_of)
    def test_what_an_ordinal_set_accepts(self, row: tuple[str, dict[str, Any]]) -> None:
        """The fields of an OrdinalSet's own may be set."""
        assert faults(changed(ORDINAL_SET, row[1])) == []

    @pytest.mark.parametrize("field", ["reserveOrdinals", "claimGrowth", "progressDeadlineSeconds", "paused"])
    def test_fields_of_an_ordinal_set_mean_nothing_in_a_stateful_set(self, field: str) -> None:
        """Of a StatefulSet those fields are not looked at: the API server drops them."""
        assert faults(changed(STATEFUL_SET, {f"spec.{field}": ["nonsense"]})) == []

    def test_a_whole_fault(self) -> None:
        """A fault says where it is, what is there, what should be there, what to do, and what the API server says."""
        (fault,) = faults(changed(STATEFUL_SET, {"spec.replicas": -1}))
        assert str(fault) == (
            "spec.replicas: found -1; expected 0 or more; "
            "correct it; the API server says: must be greater than or equal to 0"
        )

    @pytest.mark.parametrize("labels", [{"a=b": "c"}, {"a": "b c"}, {"A/b": "c"}, {"a/b/c": "d"}, {"-a": "b"}])
    def test_what_is_no_label(self, labels: dict[str, str]) -> None:
        """Labels of the selector and of the template are each checked, though they agree."""
        changes = {"spec.selector": {"matchLabels": labels}, "spec.template.metadata.labels": labels}
        assert [fault.where for fault in faults(changed(STATEFUL_SET, changes))] == [
            "spec.selector.matchLabels",
            "spec.template.metadata.labels",
        ]

    def test_all_faults_at_once(self) -> None:
        """Every fault is found, in one run; types that are wrong come alone, since the rest hangs on them."""
        changes = {"spec.replicas": -1, "spec.serviceName": "A", "spec.template.spec.restartPolicy": "Never"}
        assert [fault.where for fault in faults(changed(STATEFUL_SET, changes))] == [
            "spec.replicas",
            "spec.template.spec.restartPolicy",
            "spec.serviceName",
        ]
        mistyped = changed(STATEFUL_SET, {**changes, "spec.minReadySeconds": "1"})
        assert [fault.where for fault in faults(mistyped)] == ["spec.minReadySeconds"]

    def test_another_kind(self) -> None:
        """Other kinds are no sets."""
        with pytest.raises(ValueError, match="Deployment"):
            faults({"kind": "Deployment"})

    @pytest.mark.parametrize("kind", BASES)
    def test_nothing_at_all(self, kind: str) -> None:
        """An object without spec lacks its name, its selector and its containers."""
        assert [fault.where for fault in faults({"kind": kind})] == [
            "metadata.name",
            "spec.selector",
            "spec.template.spec.containers",
        ]

    @given(st.data())
    def test_nothing_breaks_it(self, data: st.DataObject) -> None:
        """Any JSON in any place of a specification gives faults or none, and what has none can be read as a set."""
        kind = data.draw(st.sampled_from(sorted(BASES)))
        made = changed(BASES[kind], {"spec.volumeClaimTemplates": [claim("www")], "spec.ordinals": {"start": 1},
                                     ROLLING: {"partition": 0}})  # fmt: skip
        junk = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({})
        for _ in range(data.draw(st.integers(1, 3))):
            place: Any = made["spec"]
            while isinstance(place, dict | list) and place:
                keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
                key = data.draw(st.sampled_from(keys))
                if data.draw(st.booleans()) or not isinstance(place[key], dict | list):
                    place[key] = data.draw(st.lists(junk, max_size=2) | junk)
                    break
                place = place[key]
        if not faults(made):
            read_set(with_defaults(made))


def without_gone(changes: dict[str, Any]) -> dict[str, Any]:
    """Return *changes* without members of their values that are to be gone."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(each) for key, each in value.items() if each is not GONE}
        return [clean(each) for each in value] if isinstance(value, list) else value

    return {path: value if value is GONE else clean(value) for path, value in changes.items()}


# Everything that has a default, without it.
SPARE_TEMPLATE: Json = {
    "metadata": {"labels": {"app": "nginx"}},
    "spec": {
        "serviceAccountName": "web",
        "initContainers": [{"name": "init", "image": "registry.example:5000/init"}],
        "containers": [
            {
                "name": "nginx",
                "image": "nginx:1.27",
                "ports": [{"containerPort": 80}],
                "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
                "livenessProbe": {"httpGet": {"port": 80}},
                "readinessProbe": {"grpc": {"port": 80}, "periodSeconds": 3},
                "startupProbe": {"tcpSocket": {"port": 80}},
            },
            {"name": "latest", "image": "busybox:latest"},
            {"name": "digest", "image": "busybox@sha256:" + "0" * 64, "imagePullPolicy": "Never"},
        ],
        "volumes": [
            {"name": "none"},
            {"name": "host", "hostPath": {"path": "/tmp"}},
            {"name": "secret", "secret": {"secretName": "s"}},
            {"name": "config", "configMap": {"name": "c", "defaultMode": 0}},
            {"name": "down", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"name": "all", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {"name": "image", "image": {"reference": "data:1"}},
        ],
    },
}
FULL_CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "resources": {}}
FULL_TEMPLATE: Json = {
    "metadata": {"labels": {"app": "nginx"}},
    "spec": {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
        "serviceAccount": "web",
        "serviceAccountName": "web",
        "initContainers": [
            {"name": "init", "image": "registry.example:5000/init", "imagePullPolicy": "Always", **FULL_CONTAINER}
        ],
        "containers": [
            {
                "name": "nginx",
                "image": "nginx:1.27",
                "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "env": [{"name": "POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                "lifecycle": {"preStop": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}}},
                "livenessProbe": {
                    "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                    "timeoutSeconds": 1,
                    "periodSeconds": 10,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                },
                "readinessProbe": {
                    "grpc": {"port": 80, "service": ""},
                    "timeoutSeconds": 1,
                    "periodSeconds": 3,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                },
                "startupProbe": {
                    "tcpSocket": {"port": 80},
                    "timeoutSeconds": 1,
                    "periodSeconds": 10,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                },
                **FULL_CONTAINER,
            },
            {"name": "latest", "image": "busybox:latest", "imagePullPolicy": "Always", **FULL_CONTAINER},
            {
                "name": "digest",
                "image": "busybox@sha256:" + "0" * 64,
                "imagePullPolicy": "Never",
                **FULL_CONTAINER,
            },
        ],
        "volumes": [
            {"name": "none", "emptyDir": {}},
            {"name": "host", "hostPath": {"path": "/tmp", "type": ""}},
            {"name": "secret", "secret": {"secretName": "s", "defaultMode": 420}},
            {"name": "config", "configMap": {"name": "c", "defaultMode": 0}},
            {
                "name": "down",
                "downwardAPI": {
                    "items": [{"path": "n", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}],
                    "defaultMode": 420,
                },
            },
            {
                "name": "all",
                "projected": {
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                    "defaultMode": 420,
                },
            },
            {"name": "image", "image": {"reference": "data:1", "pullPolicy": "IfNotPresent"}},
        ],
    },
}
ROLLING_UPDATE = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
DEFAULTS: Json = {
    "replicas": 1,
    "podManagementPolicy": "OrderedReady",
    "updateStrategy": ROLLING_UPDATE,
    "revisionHistoryLimit": 10,
    "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
}
OWN_DEFAULTS: Json = {"claimGrowth": "Never", "progressDeadlineSeconds": 600}

# What is written, and the members of spec that come of it.
DEFAULTED: list[tuple[str, dict[str, Any], Json]] = [
    ("nothing", {}, DEFAULTS),
    ("type alone", {"spec.updateStrategy": {"type": "RollingUpdate"}}, {"updateStrategy": {"type": "RollingUpdate"}}),
    ("OnDelete", {"spec.updateStrategy": {"type": "OnDelete"}}, {"updateStrategy": {"type": "OnDelete"}}),
    ("rollingUpdate alone", {"spec.updateStrategy": {"rollingUpdate": {}}}, {"updateStrategy": ROLLING_UPDATE}),
    ("partition alone", {ROLLING: {"partition": 2}},
     {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}),
    ("half a retention policy", {"spec.persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}},
     {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Delete"}}),
    ("no replicas", {"spec.replicas": 0}, {"replicas": 0}),
    ("ordinals", {"spec.ordinals": {}}, {"ordinals": {"start": 0}}),
]  # fmt: skip


class TestDefaults:
    @pytest.mark.parametrize("kind", BASES)
    @pytest.mark.parametrize(("changes", "expected"), [pytest.param(*row[1:], id=id_of(row[:2])) for row in DEFAULTED])
    def test_of_both_kinds(self, changes: dict[str, Any], expected: Json, kind: str) -> None:
        """What is left out gets the API's default, and what is written stays."""
        spec = with_defaults(changed(BASES[kind], changes))["spec"]
        assert {field: spec[field] for field in expected} == expected

    def test_an_empty_strategy(self) -> None:
        """An empty update strategy is none in a StatefulSet, and lacks its rollingUpdate in an OrdinalSet."""
        changes = {"spec.updateStrategy": {}}
        assert with_defaults(changed(STATEFUL_SET, changes))["spec"]["updateStrategy"] == ROLLING_UPDATE
        assert with_defaults(changed(ORDINAL_SET, changes))["spec"]["updateStrategy"] == {"type": "RollingUpdate"}

    def test_of_an_ordinal_set(self) -> None:
        """An OrdinalSet gets defaults for its own fields."""
        spec = with_defaults(ORDINAL_SET)["spec"]
        assert {field: spec[field] for field in OWN_DEFAULTS} == OWN_DEFAULTS

    def test_of_a_stateful_sets_templates(self) -> None:
        """The templates of a StatefulSet get the defaults of pods and claims."""
        changes = {"spec.template": SPARE_TEMPLATE, "spec.volumeClaimTemplates": [claim("www")]}
        spec = with_defaults(changed(STATEFUL_SET, changes))["spec"]
        assert spec["template"] == FULL_TEMPLATE
        assert spec["volumeClaimTemplates"] == [
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim("www", volumeMode="Filesystem")}
            | {"status": {"phase": "Pending"}}
        ]

    def test_the_templates_of_an_ordinal_set_stay(self) -> None:
        """The templates of an OrdinalSet stay as they are written."""
        changes = {"spec.template": SPARE_TEMPLATE, "spec.volumeClaimTemplates": [claim("www")]}
        spec = with_defaults(changed(ORDINAL_SET, changes))["spec"]
        assert spec["template"] == SPARE_TEMPLATE
        assert spec["volumeClaimTemplates"] == [claim("www")]

    def test_the_argument_is_left_alone(self) -> None:
        """The object that is given does not change."""
        given_set = changed(STATEFUL_SET, {"spec.template": SPARE_TEMPLATE})
        with_defaults(given_set)
        assert given_set == changed(STATEFUL_SET, {"spec.template": SPARE_TEMPLATE})

    @pytest.mark.parametrize("kind", BASES)
    def test_twice_is_once(self, kind: str) -> None:
        """A set that has its defaults gets no more."""
        once = with_defaults(changed(BASES[kind], {"spec.template": SPARE_TEMPLATE}))
        assert with_defaults(once) == once

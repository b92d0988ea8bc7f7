"""How sets, pods, claims and revisions are read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headlessdns.controller import model
from headlessdns.controller.model import Json, OwnerReference, Pod, SetKind, StatefulSet, Status, read_set, selects

CONTAINER = {"name": "main", "image": "example.org/web:1"}
TEMPLATE: Json = {"metadata": {"labels": {"app": "web"}, "unknown": None}, "spec": {"containers": [CONTAINER]}}
CLAIM_TEMPLATE: Json = {
    "metadata": {"name": "www"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    "unknown": 1,
}
KINDS = ("StatefulSet", "OrdinalSet")


def raw_set(
    kind: str = "StatefulSet",
    annotations: dict[str, str] | None = None,
    status: Json | None = None,
    metadata: Json | None = None,
    **spec: Any,
) -> Json:
    raw: Json = {
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default", "uid": "u", **(metadata or {})},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE, **spec},
    }
    if annotations is not None:
        raw["metadata"]["annotations"] = annotations
    if status is not None:
        raw["status"] = status
    return raw


def fields(set: StatefulSet) -> Json:
    return {field: getattr(set, field) for field in set.__struct_fields__}


# ---- sets

DEFAULTS = {
    "generation": 0,
    "annotations": {},
    "match_labels": {"app": "web"},
    "claim_templates": (),
    "service_name": "",
    "replicas": 1,
    "start": 0,
    "is_parallel": False,
    "is_on_delete": False,
    "has_rolling_update": True,
    "partition": 0,
    "max_unavailable": None,
    "min_ready_s": 0,
    "history_limit": 10,
    "deletes_when_deleted": False,
    "deletes_when_scaled": False,
    "reserved": frozenset(),
    "is_paused": False,
    "grows_claims": False,
    "heals": True,
    "progress_deadline_s": 600,
    "status": Status(),
    "conditions": (),
    "faults": (),
}


@pytest.mark.parametrize("kind", KINDS)
def test_defaults(kind: str) -> None:
    """What a set leaves out has the API's default (S51)."""
    assert DEFAULTS.items() <= fields(read_set(raw_set(kind))).items()


NULLS = (
    "replicas ordinals podManagementPolicy updateStrategy minReadySeconds revisionHistoryLimit serviceName "
    "persistentVolumeClaimRetentionPolicy volumeClaimTemplates reserveOrdinals paused claimGrowth "
    "progressDeadlineSeconds"
)


@pytest.mark.parametrize("kind", KINDS)
def test_nulls(kind: str) -> None:
    """A null member is one that is left out."""
    spec = dict.fromkeys(NULLS.split())
    raw = raw_set(kind, status={"collisionCount": None, "replicas": None, "conditions": None}, **spec)
    raw["metadata"] |= {"annotations": None, "labels": None, "ownerReferences": None, "deletionTimestamp": None}
    assert DEFAULTS.items() <= fields(read_set(raw)).items()


FULL = {
    "serviceName": "nginx",
    "replicas": 0,
    "ordinals": {"start": 5},
    "podManagementPolicy": "Parallel",
    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
    "minReadySeconds": 7,
    "revisionHistoryLimit": 0,
    "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
    "volumeClaimTemplates": [CLAIM_TEMPLATE],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field(kind: str) -> None:
    """Every field of a set is read, and zero is not taken for left out."""
    conditions = [{"type": "Foreign", "status": "True"}]
    status = {"replicas": 3, "collisionCount": 0, "currentRevision": "web-1", "conditions": conditions, "other": 1}
    set = read_set(
        raw_set(kind, {"a": "b"}, status, {"generation": 4, "deletionTimestamp": "2026-01-01T00:00:00Z"}, **FULL)
    )
    expected = {
        "kind": SetKind(kind),
        "generation": 4,
        "annotations": {"a": "b"},
        "template": TEMPLATE,
        "claim_templates": (CLAIM_TEMPLATE,),
        "service_name": "nginx",
        "replicas": 0,
        "start": 5,
        "is_parallel": True,
        "has_rolling_update": True,
        "partition": 2,
        "min_ready_s": 7,
        "history_limit": 0,
        "deletes_when_deleted": True,
        "deletes_when_scaled": True,
        "status": Status(replicas=3, current_revision="web-1", collision_count=0),
        "conditions": ({"type": "Foreign", "status": "True"},),
        "faults": (),
    }
    assert expected.items() <= fields(set).items()
    assert (set.name, set.namespace, set.is_being_deleted) == ("web", "default", True)
    assert str(set.key) == f"{kind} default/web"


@pytest.mark.parametrize(
    ("strategy", "is_on_delete", "has_rolling_update"),
    [
        pytest.param({}, False, True, id="none: RollingUpdate with its defaults"),
        pytest.param({"type": "RollingUpdate"}, False, False, id="type only: the old rule for recreated pods (S28)"),
        pytest.param({"type": "RollingUpdate", "rollingUpdate": {}}, False, True, id="empty rollingUpdate"),
        pytest.param({"type": "RollingUpdate", "rollingUpdate": None}, False, False, id="null rollingUpdate"),
        pytest.param({"type": "OnDelete"}, True, False, id="OnDelete"),
    ],
)
def test_update_strategy(strategy: Json, is_on_delete: bool, has_rolling_update: bool) -> None:
    """Whether `rollingUpdate` is there is told apart from what it says."""
    set = read_set(raw_set(updateStrategy=strategy))
    assert (set.is_on_delete, set.has_rolling_update, set.partition) == (is_on_delete, has_rolling_update, 0)


@pytest.mark.parametrize(
    ("policy", "when_deleted", "when_scaled"),
    [
        ({"whenDeleted": "Retain", "whenScaled": "Retain"}, False, False),
        ({"whenDeleted": "Delete"}, True, False),
        ({"whenScaled": "Delete"}, False, True),
    ],
    ids=["Retain", "whenDeleted", "whenScaled"],
)
def test_retention_policy(policy: Json, when_deleted: bool, when_scaled: bool) -> None:
    """The two halves of the retention policy are independent."""
    set = read_set(raw_set(persistentVolumeClaimRetentionPolicy=policy))
    assert (set.deletes_when_deleted, set.deletes_when_scaled) == (when_deleted, when_scaled)


@pytest.mark.parametrize("kind", KINDS)
def test_reference(kind: str) -> None:
    """Pods and revisions name their set as their controller, which blocks its deletion."""
    api_version = {"StatefulSet": "apps/v1", "OrdinalSet": "headlessdns.io/v1alpha1"}[kind]
    expected = OwnerReference(api_version, kind, "web", "u", controller=True, block_owner_deletion=True)
    assert read_set(raw_set(kind)).reference() == expected


def test_template_stays_as_it_came() -> None:
    """Template and claim templates are the very JSON that came, unknown and null members included."""
    raw = raw_set(volumeClaimTemplates=[{"new": {"x": None}}])
    set = read_set(raw)
    assert set.template is raw["spec"]["template"]
    assert set.claim_templates[0] is raw["spec"]["volumeClaimTemplates"][0]


@pytest.mark.parametrize(
    "raw",
    [
        raw_set(status={"replicas": "three"}),
        raw_set(metadata={"labels": {"a": 1}}),
        raw_set(metadata={"name": 7}),
    ],
    ids=["status", "labels", "name"],
)
def test_wrong_types(raw: Json) -> None:
    """A field of another type than the API gives it is an error."""
    with pytest.raises(msgspec.ValidationError):
        read_set(raw)


# ---- what goes beyond apps/v1


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param({"headlessdns.io/max-unavailable": "2"}, {"max_unavailable": 2}, id="max-unavailable"),
        pytest.param({"headlessdns.io/max-unavailable": " 25% "}, {"max_unavailable": "25%"}, id="a percentage"),
        pytest.param({"headlessdns.io/max-unavailable": "100%"}, {"max_unavailable": "100%"}, id="all at once"),
        pytest.param({"headlessdns.io/paused": "true"}, {"is_paused": True}, id="paused"),
        pytest.param({"headlessdns.io/paused": " True "}, {"is_paused": True}, id="paused, as YAML may write it"),
        pytest.param({"headlessdns.io/paused": "false"}, {"is_paused": False}, id="not paused"),
        pytest.param({"headlessdns.io/paused": ""}, {"is_paused": False}, id="only true is true"),
        pytest.param({"headlessdns.io/claim-growth": "true"}, {"grows_claims": True}, id="claim-growth"),
        pytest.param({"headlessdns.io/no-heal": "true"}, {"heals": False}, id="no-heal"),
        pytest.param({"headlessdns.io/no-heal": "no"}, {"heals": True}, id="no-heal is not true"),
        pytest.param({"headlessdns.io/reserve-ordinals": "1"}, {"reserved": frozenset({1})}, id="reserve-ordinals"),
        pytest.param(
            {"headlessdns.io/reserve-ordinals": " 7, 3-5 ,,3 "},
            {"reserved": frozenset({3, 4, 5, 7})},
            id="reserve-ordinals with ranges",
        ),
        pytest.param({"headlessdns.io/reserve-ordinals": ""}, {"reserved": frozenset()}, id="none reserved"),
    ],
)
def test_annotations(annotations: dict[str, str], expected: Json) -> None:
    """Annotations give a StatefulSet what its API has no fields for."""
    assert {**expected, "faults": ()}.items() <= fields(read_set(raw_set(annotations=annotations))).items()


MAX_UNAVAILABLE = "expected a number from 1 on, or 1% to 100%"
ORDINALS = "expected a number, or a range such as 3-5"


@pytest.mark.parametrize(
    ("annotation", "text", "fault"),
    [
        ("max-unavailable", "0", f"maxUnavailable is '0'; {MAX_UNAVAILABLE}"),
        ("max-unavailable", "0%", f"maxUnavailable is '0%'; {MAX_UNAVAILABLE}"),
        ("max-unavailable", "101%", f"maxUnavailable is '101%'; {MAX_UNAVAILABLE}"),
        ("max-unavailable", "-1", f"maxUnavailable is '-1'; {MAX_UNAVAILABLE}"),
        ("max-unavailable", "1.5", f"maxUnavailable is '1.5'; {MAX_UNAVAILABLE}"),
        ("max-unavailable", "", f"maxUnavailable is ''; {MAX_UNAVAILABLE}"),
        ("max-unavailable", "\u0661", f"maxUnavailable is '\u0661'; {MAX_UNAVAILABLE}"),
        ("max-unavailable", "10 %", f"maxUnavailable is '10 %'; {MAX_UNAVAILABLE}"),
        ("reserve-ordinals", "one", f"reserveOrdinals has 'one'; {ORDINALS}"),
        ("reserve-ordinals", "1,-2", f"reserveOrdinals has '-2'; {ORDINALS}"),
        ("reserve-ordinals", "5-3", f"reserveOrdinals has '5-3'; {ORDINALS}"),
        ("reserve-ordinals", "0-10000", f"reserveOrdinals has '0-10000'; {ORDINALS}"),
        ("reserve-ordinals", "2147483648", f"reserveOrdinals has '2147483648'; {ORDINALS}"),
    ],
)
def test_annotation_faults(annotation: str, text: str, fault: str) -> None:
    """An annotation that cannot be followed is a fault that says what it holds and what is expected."""
    assert read_set(raw_set(annotations={f"headlessdns.io/{annotation}": text})).faults == (fault,)


def test_reserved_range_of_ten_thousand() -> None:
    """A range of 10,000 ordinals is the longest; the highest ordinal is 2^31 - 1."""
    assert len(model.read_ordinals(["0-9999"])) == 10_000
    assert model.read_ordinals([2147483647]) == {2147483647}


def test_fields_of_an_ordinal_set() -> None:
    """An OrdinalSet has fields of its own, and no annotation overrules them but no-heal."""
    annotations = {
        "headlessdns.io/max-unavailable": "7",
        "headlessdns.io/paused": "false",
        "headlessdns.io/reserve-ordinals": "99",
        "headlessdns.io/no-heal": "true",
    }
    spec: Json = {
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "30%", "partition": 1}},
        "reserveOrdinals": [1, "3-4"],
        "paused": True,
        "claimGrowth": "Expand",
        "progressDeadlineSeconds": 60,
    }
    set = read_set(raw_set("OrdinalSet", annotations, **spec))
    assert {
        "max_unavailable": "30%",
        "partition": 1,
        "reserved": frozenset({1, 3, 4}),
        "is_paused": True,
        "grows_claims": True,
        "heals": False,
        "progress_deadline_s": 60,
        "faults": (),
    }.items() <= fields(set).items()


def test_fields_that_a_stateful_set_has_not() -> None:
    """What the API drops from a StatefulSet counts for nothing there either."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 3}}
    set = read_set(raw_set(updateStrategy=strategy, reserveOrdinals=[1], paused=True, claimGrowth="Expand"))
    assert (set.max_unavailable, set.reserved, set.is_paused, set.grows_claims) == (None, frozenset(), False, False)


def test_all_faults_are_told() -> None:
    """Every fault of a set is told, not only the first."""
    selector = {"matchExpressions": [{"key": "a", "operator": "Near"}]}
    annotations = {"headlessdns.io/max-unavailable": "0", "headlessdns.io/reserve-ordinals": "x"}
    assert len(read_set(raw_set(annotations=annotations, selector=selector)).faults) == 3


@pytest.mark.parametrize(
    ("spec", "faults"),
    [
        pytest.param({"replicas": -1}, ("spec.replicas is -1; expected 0 or more",), id="a rule"),
        pytest.param({"replicas": "3"}, ("spec.replicas is '3'; expected a whole number",), id="a type"),
        pytest.param(
            {"paused": "yes", "claimGrowth": 1},
            ("spec.paused is 'yes'; expected true or false", "spec.claimGrowth is 1; expected text"),
            id="two types",
        ),
        pytest.param(
            {"template": None},
            (
                "spec.template.metadata.labels is nothing; expected labels that spec.selector selects",
                "spec.template.spec.containers is nothing; expected a value",
            ),
            id="no template",
        ),
        pytest.param(
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}},
            ("spec.updateStrategy.rollingUpdate is {}; expected nothing with OnDelete",),
            id="two fields that exclude each other",
        ),
        pytest.param(
            {"claimGrowth": "x" * 1000},
            (f"spec.claimGrowth is '{'x' * 199}; expected Never or Expand",),
            id="a value that is too long to be shown",
        ),
    ],
)
def test_an_ordinal_set_that_its_schema_would_refuse(spec: Json, faults: tuple[str, ...]) -> None:
    """All that the schema of OrdinalSets refuses is a fault, wherever the set comes from; its status is read."""
    set = read_set(raw_set("OrdinalSet", status={"replicas": 2}, **spec))
    assert (set.faults, set.status.replicas, str(set.key)) == (faults, 2, "OrdinalSet default/web")


def test_an_ordinal_set_without_a_specification() -> None:
    """A set of which there is nothing but a name wants nothing, and says what it lacks."""
    raw = raw_set("OrdinalSet")
    del raw["spec"]
    set = read_set(raw)
    assert (set.ordinals(), set.faults[0]) == ([], "spec.selector is nothing; expected a value")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("spec", "faults"),
    [
        pytest.param({"replicas": 100_000}, (), id="as many pods as can be"),
        pytest.param(
            {"replicas": 2_000_000_000}, ("spec.replicas is 2000000000; expected at most 100000",), id="too many pods"
        ),
        pytest.param({"replicas": 1, "ordinals": {"start": 2147483647}}, (), id="the highest ordinal"),
    ],
)
def test_how_many_pods_there_may_be(kind: str, spec: Json, faults: tuple[str, ...]) -> None:
    """A set of more than 100,000 pods is refused, and its ordinals do not fill the memory."""
    set = read_set(raw_set(kind, **spec))
    assert set.faults == faults
    assert len(set.ordinals()) <= 100_000


@pytest.mark.parametrize(
    ("kind", "annotations", "spec"),
    [
        pytest.param("StatefulSet", {}, {"replicas": 3, "ordinals": {"start": 2147483646}}, id="by the start"),
        pytest.param(
            "StatefulSet",
            {"headlessdns.io/reserve-ordinals": "2147483646"},
            {"replicas": 2, "ordinals": {"start": 2147483646}},
            id="by an annotation",
        ),
        pytest.param(
            "OrdinalSet",
            {},
            {"replicas": 2, "ordinals": {"start": 2147483646}, "reserveOrdinals": [2147483647]},
            id="by what is reserved",
        ),
    ],
)
def test_ordinals_beyond_what_a_name_can_hold(kind: str, annotations: dict[str, str], spec: Json) -> None:
    """An ordinal above 2^31 - 1 is refused: no pod of that name would be known as the set's."""
    expected = ("the last ordinal is 2147483648; expected at most 2147483647",)
    assert read_set(raw_set(kind, annotations, **spec)).faults == expected


def test_reserved_ordinals_do_not_fill_the_memory() -> None:
    """Ranges that name more than 100,000 ordinals together are refused."""
    ranges = [f"{start}-{start + 9999}" for start in range(0, 2_000_000, 10_000)]
    assert len(model.read_ordinals(ranges[:10])) == 100_000
    fault = "reserveOrdinals names more than 100000 ordinals; expected fewer"
    assert read_set(raw_set("OrdinalSet", reserveOrdinals=ranges)).faults == (fault,)


# ---- selectors

EXPRESSIONS = {
    "In": {"key": "tier", "operator": "In", "values": ["a", "b"]},
    "NotIn": {"key": "tier", "operator": "NotIn", "values": ["a"]},
    "Exists": {"key": "tier", "operator": "Exists"},
    "DoesNotExist": {"key": "tier", "operator": "DoesNotExist", "values": []},
}


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        pytest.param({}, {}, True, id="an empty one selects everything"),
        pytest.param({"matchLabels": {"app": "web"}}, {"app": "web", "x": "y"}, True, id="label"),
        pytest.param({"matchLabels": {"app": "web"}}, {"app": "db"}, False, id="another value"),
        pytest.param({"matchLabels": {"app": "web", "x": "y"}}, {"app": "web"}, False, id="one of two labels"),
        pytest.param({"matchExpressions": [EXPRESSIONS["In"]]}, {"tier": "b"}, True, id="In"),
        pytest.param({"matchExpressions": [EXPRESSIONS["In"]]}, {"tier": "c"}, False, id="In, and it is not"),
        pytest.param({"matchExpressions": [EXPRESSIONS["NotIn"]]}, {"tier": "a"}, False, id="NotIn, and it is"),
        pytest.param({"matchExpressions": [EXPRESSIONS["NotIn"]]}, {}, True, id="NotIn without the label"),
        pytest.param({"matchExpressions": [EXPRESSIONS["Exists"]]}, {"tier": ""}, True, id="Exists"),
        pytest.param({"matchExpressions": [EXPRESSIONS["Exists"]]}, {}, False, id="Exists, and it does not"),
        pytest.param({"matchExpressions": [EXPRESSIONS["DoesNotExist"]]}, {}, True, id="DoesNotExist"),
        pytest.param({"matchExpressions": [EXPRESSIONS["DoesNotExist"]]}, {"tier": ""}, False, id="and it does"),
        pytest.param(
            {"matchLabels": {"app": "web"}, "matchExpressions": [EXPRESSIONS["Exists"]]},
            {"app": "web"},
            False,
            id="labels and expressions have to hold",
        ),
        pytest.param({"matchLabels": None, "matchExpressions": None}, {"a": "b"}, True, id="nulls"),
    ],
)
def test_selector(selector: Json, labels: dict[str, str], selected: bool) -> None:
    """A LabelSelector selects what it selects in Kubernetes."""
    assert read_set(raw_set(selector=selector)).selector.matches(labels) is selected


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        (
            {"key": "a", "operator": "Near"},
            "'Near' is no operator of a label selector; expected In, Exists, NotIn, DoesNotExist",
        ),
        ({"key": "a"}, "None is no operator of a label selector; expected In, Exists, NotIn, DoesNotExist"),
        ({"key": "a", "operator": "In", "values": []}, "In of 'a' has []; expected at least one value"),
        ({"key": "a", "operator": "NotIn"}, "NotIn of 'a' has None; expected at least one value"),
        ({"key": "a", "operator": "Exists", "values": ["b"]}, "Exists of 'a' has ['b']; expected no values"),
        (
            {"key": "a", "operator": "DoesNotExist", "values": ["b"]},
            "DoesNotExist of 'a' has ['b']; expected no values",
        ),
    ],
    ids=[
        "unknown operator",
        "no operator",
        "In nothing",
        "NotIn nothing",
        "Exists with values",
        "DoesNotExist likewise",
    ],
)
def test_selector_faults(expression: Json, fault: str) -> None:
    """A selector that selects nothing sensible is a fault of the set."""
    assert read_set(raw_set(selector={"matchExpressions": [expression]})).faults == (fault,)


# ---- names, ordinals, budgets


@pytest.mark.parametrize(
    ("pod_name", "parent", "ordinal"),
    [
        ("web-0", "web", 0),
        ("web-10", "web", 10),
        ("web-0-1", "web-0", 1),
        ("a-b-c-7", "a-b-c", 7),
        ("web-01", "web", 1),
        ("web--1", "web-", 1),
        ("-3", "", 3),
        ("web-2147483647", "web", 2147483647),
        ("web-2147483648", "web", -1),
        ("web-" + "9" * 60, "web", -1),
        ("web-x", "", -1),
        ("web-1x", "", -1),
        ("web-", "", -1),
        ("web", "", -1),
        ("0", "", -1),
        ("", "", -1),
        ("web-\u0661", "", -1),
        ("web-1\n", "", -1),
    ],
)
def test_parent_and_ordinal(pod_name: str, parent: str, ordinal: int) -> None:
    """The ordinal is what follows the last hyphen, if it is a number of 31 bits (S1)."""
    assert model.parent_and_ordinal(pod_name) == (parent, ordinal)
    assert model.ordinal_of(pod_name) == ordinal


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, [0], id="one by default"),
        pytest.param({"replicas": 0}, [], id="none"),
        pytest.param({"replicas": 3}, [0, 1, 2], id="from 0"),
        pytest.param({"replicas": 3, "ordinals": {"start": 5}}, [5, 6, 7], id="from the start"),
        pytest.param({"replicas": 2, "ordinals": {"start": None}}, [0, 1], id="null start"),
        pytest.param({"replicas": 3, "reserveOrdinals": [1]}, [0, 2, 3], id="reserved ones are passed over"),
        pytest.param({"replicas": 2, "reserveOrdinals": [0, "1-3"]}, [4, 5], id="the first ones are reserved"),
        pytest.param(
            {"replicas": 2, "ordinals": {"start": 5}, "reserveOrdinals": [2, 6]}, [5, 7], id="reserved with a start"
        ),
    ],
)
def test_ordinals(spec: Json, expected: list[int]) -> None:
    """A set has as many ordinals as replicas, from its start on, without those that are reserved (S7)."""
    assert read_set(raw_set("OrdinalSet", **spec)).ordinals() == expected


@pytest.mark.parametrize(
    ("max_unavailable", "replicas", "expected"),
    [
        pytest.param(None, 10, 1, id="one by default"),
        pytest.param(3, 10, 3, id="a number"),
        pytest.param(30, 10, 30, id="beyond the replicas"),
        pytest.param("25%", 10, 2, id="a percentage is rounded down"),
        pytest.param("100%", 10, 10, id="all"),
        pytest.param("1%", 10, 1, id="at least one"),
        pytest.param("50%", 0, 1, id="at least one of none"),
        pytest.param("29%", 100, 29, id="no float comes in between"),
    ],
)
def test_budget(max_unavailable: int | str | None, replicas: int, expected: int) -> None:
    """maxUnavailable is a number or a share of the replicas (S37)."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": max_unavailable}}
    assert read_set(raw_set("OrdinalSet", replicas=replicas, updateStrategy=strategy)).budget() == expected


# ---- pods

NOON_S = 1767268800.0  # 2026-01-01T12:00:00Z


def pod(ready: str | None = "True", since: str | None = "2026-01-01T12:00:00Z", **more: Any) -> Pod:
    conditions: list[Json] = [{"type": "Initialized", "status": "True"}]
    if ready is not None:
        conditions.append({"type": "Ready", "status": ready, "lastTransitionTime": since})
    return model.read_pod({"metadata": {"name": "web-0"}, "status": {"conditions": conditions, **more}})


@pytest.mark.parametrize(
    ("observed", "min_ready_s", "after_s", "expected"),
    [
        pytest.param(pod(), 0, 0, 0.0, id="at once without minReadySeconds"),
        pytest.param(pod(since=None), 0, 0, 0.0, id="at once, whenever it became ready"),
        pytest.param(pod("False"), 0, 60, None, id="not ready"),
        pytest.param(pod("Unknown"), 0, 60, None, id="its node is lost"),
        pytest.param(pod(None), 0, 60, None, id="no Ready condition"),
        pytest.param(pod(), 10, 0, 10.0, id="just ready"),
        pytest.param(pod(), 10, 3.5, 6.5, id="a while ago"),
        pytest.param(pod(), 10, 9.75, 0.25, id="not quite"),
        pytest.param(pod(), 10, 10, 0.0, id="to the second"),
        pytest.param(pod(), 10, 1000, 0.0, id="long ago"),
        pytest.param(pod(), 10, -5, 15.0, id="by a clock that is ahead of ours"),
        pytest.param(pod(since=None), 10, 1000, None, id="nobody says since when"),
        pytest.param(pod(since="2026-01-01T14:00:00+02:00"), 10, 4, 6.0, id="another time zone"),
        pytest.param(pod("False"), 10, 1000, None, id="not ready for long"),
        pytest.param(pod(phase="Pending"), 0, 0, 0.0, id="the phase is not looked at"),
    ],
)
def test_available_in_s(observed: Pod, min_ready_s: int, after_s: float, expected: float | None) -> None:
    """A pod is available once it has been ready for minReadySeconds (S46)."""
    assert observed.available_in_s(min_ready_s, NOON_S + after_s) == expected
    assert observed.is_available(min_ready_s, NOON_S + after_s) is (expected == 0.0)


@pytest.mark.parametrize(
    ("metadata", "status", "expected"),
    [
        pytest.param({}, {}, set(), id="not created"),
        pytest.param({}, {"phase": "Pending"}, {"is_created"}, id="pending"),
        pytest.param({}, {"phase": "Running"}, {"is_created"}, id="running"),
        pytest.param({}, {"phase": "Failed"}, {"is_created", "is_terminal"}, id="failed"),
        pytest.param({}, {"phase": "Succeeded"}, {"is_created", "is_terminal"}, id="succeeded"),
        pytest.param(
            {},
            {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            {"is_created", "is_ready", "is_running_and_ready"},
            id="running and ready",
        ),
        pytest.param(
            {},
            {"phase": "Pending", "conditions": [{"type": "Ready", "status": "True"}]},
            {"is_created", "is_ready"},
            id="ready, and not running",
        ),
        pytest.param(
            {"deletionTimestamp": "2026-01-01T12:00:00Z"},
            {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            {"is_created", "is_ready", "is_running_and_ready", "is_terminating"},
            id="terminating, ready to the end",
        ),
    ],
)
def test_state(metadata: Json, status: Json, expected: set[str]) -> None:
    """Phase, conditions and deletion say what a pod is good for (S31, S32)."""
    observed = model.read_pod({"metadata": {"name": "web-0", **metadata}, "status": status})
    states = ("is_created", "is_terminal", "is_ready", "is_running_and_ready", "is_terminating")
    assert {state for state in states if getattr(observed, state)} == expected
    is_unavailable = "is_ready" not in expected or "is_terminating" in expected
    assert observed.is_unavailable(0, NOON_S) is is_unavailable


def test_pod() -> None:
    """Of a pod are read its revision, its controller and its volumes that are claims; the rest is passed over."""
    owners = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "2", "controller": True},
    ]
    volumes = [{"name": "www", "persistentVolumeClaim": {"claimName": "www-web-0"}}, {"name": "x", "emptyDir": {}}]
    raw = {
        "metadata": {"name": "web-0", "labels": {"controller-revision-hash": "web-1"}, "ownerReferences": owners},
        "spec": {"volumes": volumes, "containers": [{"name": "main"}]},
    }
    observed = model.read_pod(raw)
    assert observed.revision == "web-1"
    assert observed.metadata.controller() == OwnerReference("apps/v1", "StatefulSet", "web", "2", controller=True)
    claims = [
        one.persistent_volume_claim.claim_name for one in observed.spec.volumes or () if one.persistent_volume_claim
    ]
    assert claims == ["www-web-0"]


def test_bare_pod() -> None:
    """A pod that says nothing has no labels, no controller, no revision and no conditions."""
    observed = model.read_pod({"metadata": {"name": "web-0"}})
    found = (observed.labels, observed.metadata.controller(), observed.revision, observed.condition("Ready"))
    assert found == ({}, None, "", None)


# ---- claims and revisions


def test_claim() -> None:
    """Of a claim are read its owners, its deletion and what it asks for."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "1"}
    claim = model.read_claim(
        {
            "metadata": {"name": "www-web-0", "deletionTimestamp": "2026-01-01T12:00:00Z", "ownerReferences": [owner]},
            "spec": {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "fast"},
        }
    )
    assert (claim.name, claim.is_terminating) == ("www-web-0", True)
    assert claim.owners == (OwnerReference("v1", "Pod", "web-0", "1"),)
    assert claim.spec.resources is not None
    assert (claim.spec.resources.requests, claim.spec.storage_class_name) == ({"storage": "1Gi"}, "fast")


def test_bare_claim() -> None:
    """A claim that says nothing has no owners and asks for nothing."""
    claim = model.read_claim({"metadata": {"name": "www-web-0"}})
    assert (claim.owners, claim.is_terminating, claim.spec.resources) == ((), False, None)


def test_data_of_a_revision_stay_octets() -> None:
    """The data of a revision are kept as the octets that came."""
    octets = b'{"metadata":{"name":"web-1"},"data":{"b":1, "a":1.0,"c":"\\u003c"},"revision":3}'
    revision = model.REVISION.decode(octets)
    assert (revision.name, revision.revision) == ("web-1", 3)
    assert bytes(revision.data) == b'{"b":1, "a":1.0,"c":"\\u003c"}'


def test_read_time() -> None:
    """Times of the API are in UTC, with or without fractions of a second."""
    assert model.read_time("2026-01-01T12:00:00Z") == NOON_S
    assert model.read_time("2026-01-01T12:00:00.250000Z") == NOON_S + 0.25


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param(None, False, id="none"),
        pytest.param({}, True, id="an empty one"),
        pytest.param({"matchLabels": {"app": "web"}}, True, id="a label"),
        pytest.param({"matchLabels": {"app": "db"}}, False, id="another value"),
        pytest.param({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True, id="a label less"),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "Is", "values": ["web"]}]}, False, id="unreadable"
        ),
    ],
)
def test_selects(selector: dict[str, Any] | None, expected: bool) -> None:
    """No selector selects nothing, an empty one everything, and one that cannot be read nothing."""
    assert selects(selector, {"app": "web"}) is expected

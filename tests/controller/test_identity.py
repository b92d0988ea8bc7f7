"""Who a pod is, what its claims are, and whom they belong to."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from headlessdns.controller import identity
from headlessdns.controller.identity import ClaimOwners
from headlessdns.controller.model import parent_and_ordinal, read_pod, read_set
from tests.controller.support import (
    claim,
    claim_template,
    owner,
    pod_owner,
    pod_with_claims,
    raw_pod,
    raw_set,
    web,
)

# Names

NAMES = [
    ("web-0", ("web", 0)),
    ("web-10", ("web", 10)),
    ("web-07", ("web", 7)),
    ("my-web-3", ("my-web", 3)),
    ("web-1-2", ("web-1", 2)),
    ("-5", ("", 5)),
    ("web-2147483647", ("web", 2147483647)),
    ("web-2147483648", ("web", -1)),
    ("web-99999999999999999999999", ("web", -1)),
    ("web", ("", -1)),
    ("web-", ("", -1)),
    ("web-a", ("", -1)),
    ("web-1a", ("", -1)),
    ("web-1\n", ("", -1)),
    ("web--1", ("web-", 1)),
    ("", ("", -1)),
]


@pytest.mark.parametrize(("name", "expected"), NAMES)
def test_parent_and_ordinal(name: str, expected: tuple[str, int]) -> None:
    """S1: what stands before the last dash and digits is the set's name; a number beyond 32 bits is no ordinal."""
    assert parent_and_ordinal(name) == expected


MEMBERS = [("web-0", True), ("web-07", True), ("web", False), ("web-a-0", False), ("eb-0", False), ("webs-0", False)]


@pytest.mark.parametrize(("name", "expected"), MEMBERS)
def test_membership_is_a_matter_of_the_name(name: str, *, expected: bool) -> None:
    """S17: a pod is a set's where its name is the set's name and a number."""
    assert identity.is_member(web(), read_pod(raw_pod(f"{name} v1 ready"))) is expected


POD_NAME = "statefulset.kubernetes.io/pod-name"
IDENTITIES = [
    ("right", "web-1", {POD_NAME: "web-1"}, True),
    ("S5: the index does not matter", "web-1", {POD_NAME: "web-1", "apps.kubernetes.io/pod-index": "7"}, True),
    ("no label", "web-1", {}, False),
    ("another label", "web-1", {POD_NAME: "web-2"}, False),
    ("another set", "db-1", {POD_NAME: "db-1"}, False),
    ("no number", "web-x", {POD_NAME: "web-x"}, False),
    ("leading zeros", "web-01", {POD_NAME: "web-01"}, False),
    ("beyond 32 bits", "web-2147483648", {POD_NAME: "web-2147483648"}, False),
]


@pytest.mark.parametrize(
    ("name", "labels", "expected"), [row[1:] for row in IDENTITIES], ids=[row[0] for row in IDENTITIES]
)
def test_identity(name: str, labels: dict[str, str], *, expected: bool) -> None:
    """S5: a pod is who its name says where its name is exact and its label agrees."""
    assert identity.has_identity(web(), read_pod(raw_pod(f"{name} v1 ready", labels=labels))) is expected


# Manifests


def rich_set(**spec: Any) -> Any:
    raw = raw_set(claims=[claim_template("www"), claim_template("data")])
    raw["spec"]["template"] = {
        "metadata": {
            "name": "ignored",
            "labels": {"app": "nginx", POD_NAME: "wrong", "controller-revision-hash": "wrong"},
            "annotations": {"a": "1"},
            "finalizers": ["example.com/hold"],
        },
        "spec": {
            "hostname": "wrong",
            "subdomain": "wrong",
            "unknownField": {"kept": [1.5, None]},
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "www", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
        },
    }
    raw["spec"] |= spec
    return read_set(raw)


def test_a_pod_manifest() -> None:
    """S2 to S4, S9: a pod is the template with its own name, labels, owner, hostname and claims."""
    set = rich_set()
    assert identity.pod_manifest(set, 4, set.template, "web-abc") == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "web-",
            "name": "web-4",
            "namespace": "default",
            "labels": {
                "app": "nginx",
                "statefulset.kubernetes.io/pod-name": "web-4",
                "apps.kubernetes.io/pod-index": "4",
                "controller-revision-hash": "web-abc",
            },
            "annotations": {"a": "1"},
            "finalizers": ["example.com/hold"],
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "StatefulSet",
                    "name": "web",
                    "uid": "uid-of-web",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "hostname": "web-4",
            "subdomain": "nginx",
            "unknownField": {"kept": [1.5, None]},
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [
                {"name": "www", "persistentVolumeClaim": {"claimName": "www-web-4"}},
                {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-4"}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }


def test_a_manifest_shares_nothing_with_the_template() -> None:
    """What is done to a manifest leaves the template as it is."""
    set = rich_set()
    manifest = identity.pod_manifest(set, 0, set.template, "r")
    manifest["spec"]["containers"][0]["image"] = "other"
    manifest["metadata"]["annotations"]["a"] = "2"
    identity.claim_manifest(set, set.claim_templates[0], 0)["spec"]["accessModes"].append("other")
    assert set.template["spec"]["containers"][0]["image"] == "i"
    assert set.template["metadata"]["annotations"] == {"a": "1"}
    assert set.claim_templates[0]["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_a_bare_template() -> None:
    """S54: without serviceName there is no subdomain; without volumes, annotations and finalizers there are none."""
    set = rich_set(serviceName="", volumeClaimTemplates=None)
    manifest = identity.pod_manifest(set, 0, {"spec": {"subdomain": "wrong"}}, "r")
    assert manifest["spec"] == {"hostname": "web-0"}
    assert sorted(manifest["metadata"]) == ["generateName", "labels", "name", "namespace", "ownerReferences"]


CLAIM_LABELS = [
    ("no labels at all", {}, None, None),
    ("those of the selector", {"test": "test"}, None, {"test": "test"}),
    ("both", {"name": "foo"}, {"test": "test"}, {"test": "test", "name": "foo"}),
    ("the selector wins", {"test": "foo"}, {"test": "test"}, {"test": "foo"}),
]


@pytest.mark.parametrize(
    ("selector", "labels", "expected"), [row[1:] for row in CLAIM_LABELS], ids=[row[0] for row in CLAIM_LABELS]
)
def test_labels_of_a_claim(selector: dict[str, str], labels: dict[str, str] | None, expected: dict[str, str]) -> None:
    """S8: a claim has the labels of its template, overlaid by matchLabels of the selector."""
    raw = raw_set(claims=[claim_template("www")])
    raw["spec"]["selector"] = {"matchLabels": selector, "matchExpressions": [{"key": "x", "operator": "Exists"}]}
    if labels is not None:
        raw["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"] = labels
    set = read_set(raw)
    assert identity.claim_manifest(set, set.claim_templates[0], 0)["metadata"].get("labels") == expected


def test_a_claim_manifest() -> None:
    """S8: a claim is its template under its own name, without what only the API writes."""
    template = claim_template("www")
    template["metadata"] |= {"creationTimestamp": None, "annotations": {"a": "1"}}
    template["status"] = {"phase": "Pending"}
    set = rich_set(volumeClaimTemplates=[template])
    assert identity.claim_manifest(set, set.claim_templates[0], 12) == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "www-web-12",
            "namespace": "default",
            "labels": {"app": "nginx"},
            "annotations": {"a": "1"},
        },
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


# Storage

STORAGE = [
    ("both volumes", pod_with_claims("1 v1 ready", "www", "data"), True),
    ("one is missing", pod_with_claims("1 v1 ready", "www"), False),
    ("none", pod_with_claims("1 v1 ready"), False),
    ("more", pod_with_claims("1 v1 ready", "www", "data", "more"), True),
]


@pytest.mark.parametrize(("pod", "expected"), [row[1:] for row in STORAGE], ids=[row[0] for row in STORAGE])
def test_storage(pod: Any, *, expected: bool) -> None:
    """S12: every claim template has to be a volume of the pod."""
    assert identity.has_storage(rich_set(), pod) is expected


@pytest.mark.parametrize(
    "volume",
    [
        {"name": "www", "persistentVolumeClaim": {"claimName": "www-web-2"}},
        {"name": "www", "emptyDir": {}},
        {"name": "wwx", "persistentVolumeClaim": {"claimName": "www-web-1"}},
    ],
    ids=["another ordinal's claim", "no claim", "another name"],
)
def test_storage_that_is_not_ours(volume: dict[str, Any]) -> None:
    """S12: the volume has to have the template's name and the claim's."""
    raw = raw_pod("1 v1 ready")
    raw["spec"]["volumes"] = [volume]
    assert not identity.has_storage(web(claims=[claim_template("www")]), read_pod(raw))


# Owners

KEPT, CONDEMNED = False, True
POLICIES = [
    # whenDeleted, whenScaled, condemned, set is to own, pod is to own
    ("Retain", "Retain", KEPT, False, False),
    ("Retain", "Retain", CONDEMNED, False, False),
    ("Delete", "Retain", KEPT, True, False),
    ("Delete", "Retain", CONDEMNED, True, False),
    ("Retain", "Delete", KEPT, False, False),
    ("Retain", "Delete", CONDEMNED, False, True),
    ("Delete", "Delete", KEPT, True, False),
    ("Delete", "Delete", CONDEMNED, False, True),
]
OTHERS = [pod_owner("rand1", controller=None), pod_owner("rand2", controller=None)]
STRANGER = {"apiVersion": "custom/v1", "kind": "Unknown", "name": "unknown", "uid": "xyz", "controller": True}


def owners_of(policy: tuple[str, str], *, is_condemned: bool = False, uid: str = "uid-of-web-1") -> ClaimOwners:
    return ClaimOwners(web(retention=policy), "web-1", uid, is_condemned=is_condemned)


def uids(references: Any) -> list[tuple[str, bool | None]]:
    return [(reference.uid, reference.controller) for reference in references]


@pytest.mark.parametrize("others", [False, True], ids=["", "others"])
@pytest.mark.parametrize("pod_owns", [False, True], ids=["", "pod"])
@pytest.mark.parametrize("set_owns", [False, True], ids=["", "set"])
@pytest.mark.parametrize(("deleted", "scaled", "is_condemned", "wants_set", "wants_pod"), POLICIES)
def test_owners(
    deleted: str,
    scaled: str,
    *,
    is_condemned: bool,
    wants_set: bool,
    wants_pod: bool,
    set_owns: bool,
    pod_owns: bool,
    others: bool,
) -> None:
    """S13: the policy says which of set and pod owns a claim; owners of others stay, in front."""
    there = OTHERS * others + [pod_owner("web-1")] * pod_owns + [owner()] * set_owns
    owners = owners_of((deleted, scaled), is_condemned=is_condemned)
    found = claim("www-web-1", *there)
    assert owners.are_right(found) is ((set_owns, pod_owns) == (wants_set, wants_pod))
    expected: list[tuple[str, bool | None]] = [("uid-of-rand1", None), ("uid-of-rand2", None)] * others
    expected += [("uid-of-web", True)] * wants_set + [("uid-of-web-1", True)] * wants_pod
    assert uids(owners.mended(found)) == expected


@pytest.mark.parametrize(
    ("set_owns", "pod_owns", "is_condemned", "policy"),
    list(product([False, True], [False, True], [False, True], [("Delete", "Delete"), ("Delete", "Retain")])),
)
def test_another_controller_leaves_no_place_for_us(
    policy: tuple[str, str], *, set_owns: bool, pod_owns: bool, is_condemned: bool
) -> None:
    """S14: where another controller owns a claim, ours are taken away and none is added."""
    owners = owners_of(policy, is_condemned=is_condemned)
    found = claim("www-web-1", *[pod_owner("web-1")] * pod_owns, *[owner()] * set_owns, STRANGER)
    assert owners.conflicts(found)
    assert owners.are_right(found) is not (set_owns or pod_owns)
    assert uids(owners.mended(found)) == [("xyz", True)]


BOTH, SET_ONLY, POD_ONLY = ("Delete", "Delete"), ("Delete", "Retain"), ("Retain", "Delete")
EDGES = [
    # id, owners, policy, condemned, right
    ("the pod as controller", [pod_owner("web-1")], BOTH, CONDEMNED, True),
    ("the pod, not as controller", [pod_owner("web-1", controller=None)], BOTH, CONDEMNED, False),
    ("an earlier pod", [pod_owner("web-1", "stale")], BOTH, CONDEMNED, True),
    ("the pod and another controller", [pod_owner("web-1"), STRANGER], BOTH, CONDEMNED, False),
    ("the set as controller", [owner()], SET_ONLY, KEPT, True),
    ("the set, not as controller", [owner(controller=None)], SET_ONLY, KEPT, False),
    ("the set, false as controller", [owner(controller=False)], SET_ONLY, KEPT, False),
    ("the set in a wrong apiVersion", [owner(apiVersion="appsv1", controller=None)], SET_ONLY, KEPT, False),
    ("an earlier set", [owner("stale")], SET_ONLY, KEPT, True),
    ("the set and another controller", [owner(), STRANGER], SET_ONLY, KEPT, False),
    ("an earlier set and the pod", [owner("stale"), pod_owner("web-1")], SET_ONLY, KEPT, True),
    ("another controller alone", [STRANGER], SET_ONLY, KEPT, True),
    ("another controller alone under Retain", [STRANGER], ("Retain", "Retain"), KEPT, True),
    ("the set under Retain", [owner()], ("Retain", "Retain"), KEPT, False),
    ("the set, not as controller, under Retain", [owner(controller=None)], ("Retain", "Retain"), KEPT, False),
    ("an earlier set under Retain", [owner("stale")], ("Retain", "Retain"), KEPT, True),
]


@pytest.mark.parametrize(
    ("there", "policy", "is_condemned", "expected"), [row[1:] for row in EDGES], ids=[row[0] for row in EDGES]
)
def test_owners_at_the_edges(there: list[Any], policy: tuple[str, str], *, is_condemned: bool, expected: bool) -> None:
    """S14: claims of earlier objects of our names are left alone; whoever owns but does not control is set right."""
    assert owners_of(policy, is_condemned=is_condemned).are_right(claim("www-web-1", *there)) is expected


MENDED = [
    ("right already", [owner(), OTHERS[0]], [("uid-of-rand1", None), ("uid-of-web", True)]),
    ("not as controller", [owner(controller=None)], [("uid-of-web", True)]),
    ("another kind of our name", [owner("456", apiVersion="x/v1")], [("456", True)]),
    (
        "another kind of our name that is no controller",
        [owner("456", apiVersion="x/v1", controller=None)],
        [("456", None), ("uid-of-web", True)],
    ),
    ("nobody", [], [("uid-of-web", True)]),
    ("ours without UID", [owner("")], []),
    ("ours without UID, not as controller", [owner("", controller=None)], []),
    ("our UID under another name, not as controller", [owner(name="other", controller=None)], [("uid-of-web", None)]),
    ("our UID under another name", [owner(name="other")], [("uid-of-web", True)]),
]


@pytest.mark.parametrize(("there", "expected"), [row[1:] for row in MENDED], ids=[row[0] for row in MENDED])
def test_owners_are_mended(there: list[Any], expected: list[Any]) -> None:
    """S14: references to our names are written anew, those of others stay; one without UID is an earlier one's."""
    assert uids(owners_of(BOTH).mended(claim("www-web-1", *there))) == expected


CONTROLLERS = [
    ("another kind as controller", [STRANGER], True),
    ("another kind, false as controller", [{**STRANGER, "controller": False}], False),
    ("another kind, not as controller", [{**STRANGER, "controller": None}], False),
    ("another pod as controller", [pod_owner("other")], True),
    ("another kind of set as controller", [owner("x", kind="Set")], True),
    ("another set as controller", [owner("x", name="other")], True),
    ("the set", [owner()], False),
    ("an earlier set", [owner("stale")], True),
    ("an earlier set, not as controller", [owner("stale", controller=None)], True),
    ("the pod", [pod_owner("web-1")], False),
    ("an earlier pod", [pod_owner("web-1", "stale")], True),
    ("the pod and another controller", [pod_owner("web-1"), STRANGER], True),
    ("the pod and another that is no controller", [pod_owner("web-1"), {**STRANGER, "controller": False}], False),
    ("nobody", [], False),
]


@pytest.mark.parametrize(("there", "expected"), [row[1:] for row in CONTROLLERS], ids=[row[0] for row in CONTROLLERS])
@pytest.mark.parametrize("policy", [BOTH, SET_ONLY, POD_ONLY], ids=["both", "whenDeleted", "whenScaled"])
def test_conflicts(policy: tuple[str, str], there: list[Any], *, expected: bool) -> None:
    """S14: another controller, or an earlier object of our names, is in the way of the policy, though not of Retain."""
    assert owners_of(policy).conflicts(claim("www-web-1", *there)) is expected
    assert not owners_of(("Retain", "Retain")).conflicts(claim("www-web-1", *there))


STALE = [
    ("nobody's", [], "uid-of-web-1", False),
    ("the pod's", [pod_owner("web-1")], "uid-of-web-1", False),
    ("the pod's, not as controller", [pod_owner("web-1", controller=None)], "uid-of-web-1", False),
    ("an earlier pod's", [pod_owner("web-1", "stale")], "uid-of-web-1", True),
    ("an earlier pod's, not as controller", [pod_owner("web-1", "stale", controller=None)], "uid-of-web-1", True),
    ("a pod's, while there is none", [pod_owner("web-1")], "", True),
    ("another pod's", [pod_owner("web-2")], "", False),
    ("an earlier set's", [owner("stale")], "", False),
]


@pytest.mark.parametrize(("there", "uid", "expected"), [row[1:] for row in STALE], ids=[row[0] for row in STALE])
def test_claims_of_former_pods(there: list[Any], uid: str, *, expected: bool) -> None:
    """S15: with whenScaled Delete, a claim of a pod of this name with another UID goes with that pod."""
    assert owners_of(POD_ONLY, uid=uid).is_of_former_pod(claim("www-web-1", *there)) is expected
    assert not owners_of(SET_ONLY, uid=uid).is_of_former_pod(claim("www-web-1", *there))


def test_claims_of_an_ordinal() -> None:
    """Claims are found by name; templates without one are missing, in their order."""
    set = web(claims=[claim_template("a"), claim_template("b"), claim_template("c")])
    found = {"b-web-3": claim("b-web-3"), "a-web-4": claim("a-web-4")}
    present, missing = identity.claims_of(set, 3, found)
    assert [(template["metadata"]["name"], one.name) for template, one in present] == [("b", "b-web-3")]
    assert [template["metadata"]["name"] for template in missing] == ["a", "c"]


STORAGE_ASKED = [
    ("more", {"resources": {"requests": {"storage": "2Gi"}}}, "2Gi"),
    ("more, a number", {"resources": {"requests": {"storage": 2147483648}}}, "2147483648"),
    ("as much", {"resources": {"requests": {"storage": "1024Mi"}}}, None),
    ("less", {"resources": {"requests": {"storage": "1G"}}}, None),
    ("no storage", {"resources": {"requests": {"cpu": "1"}}}, None),
    ("no requests", {"resources": {"requests": None}}, None),
    ("no resources", {}, None),
]


@pytest.mark.parametrize(
    ("spec", "expected"), [row[1:] for row in STORAGE_ASKED], ids=[row[0] for row in STORAGE_ASKED]
)
def test_storage_to_ask(spec: dict[str, Any], expected: str | None) -> None:
    """A claim is to ask for what its template asks for, where that is more."""
    assert identity.storage_to_ask({"metadata": {"name": "www"}, "spec": spec}, claim("www-web-0")) == expected


def test_a_claim_that_asks_for_nothing() -> None:
    """A claim without a request is left as it is."""
    found = claim("www-web-0")
    found.spec = type(found.spec)()
    assert identity.storage_to_ask(claim_template("www"), found) is None

"""Data and names of revisions, which is current and which is new, and which are forgotten."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns.controller import revisions
from headlessdns.controller.model import (
    Json,
    Metadata,
    Pod,
    Revision,
    StatefulSet,
    read_pod,
    read_revision,
    read_set,
)
from headlessdns.controller.revisions import Renumber

# ---- data and names, as the reference made them

GOLDEN: list[Json] = json.loads((Path(__file__).parent / "golden" / "revisions.json").read_text())
COLLISION_COUNTS = (0, 1, 5)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in GOLDEN])
def test_data_are_the_reference_s(case: Json) -> None:
    """The data of a revision are those of the reference, octet by octet."""
    assert revisions.data_of(read_set(case["served"])).decode() == case["data"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in GOLDEN])
def test_names_are_the_reference_s(case: Json) -> None:
    """The name of a revision is that of the reference, after any number of collisions."""
    made = [revisions.new_revision(read_set(case["served"]), 1, count) for count in COLLISION_COUNTS]
    assert [one["metadata"]["name"] for one in made] == [case["names"][str(count)] for count in COLLISION_COUNTS]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in GOLDEN])
def test_manifest_carries_the_data(case: Json) -> None:
    """A manifest that is sent as it is encoded carries the data octet by octet."""
    manifest = revisions.encode(revisions.new_revision(read_set(case["served"]), 1, 0))
    assert bytes(msgspec.json.decode(manifest, type=Revision).data).decode() == case["data"]


def upstream_template(**metadata: Any) -> Json:
    """Return the pod template of the reference's own test of compatibility between 1.33 and 1.34."""
    return {
        "metadata": {"annotations": {"test": "value"}, "labels": {"app": "foo"}, **metadata},
        "spec": {
            "containers": [
                {
                    "image": "test",
                    "imagePullPolicy": "Always",
                    "name": "test",
                    "resources": {},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }
            ],
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
        },
    }


@pytest.mark.parametrize(
    ("template", "hash"),
    [
        pytest.param(upstream_template(creationTimestamp=None), "c77f6d978", id="1.33 writes creationTimestamp null"),
        pytest.param(upstream_template(), "776999688b", id="1.34 leaves it out"),
    ],
)
def test_hash_of_other_versions(template: Json, hash: str) -> None:
    """What the API serves is what is hashed, so the names follow the cluster's version."""
    assert revisions.hash_of(revisions.template_data(template), 0) == hash


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param({"b": 1, "a": 2}, b'{"a":2,"b":1}', id="keys in order, no blanks"),
        pytest.param({"\U00010000": 1, "\uffff": 2}, '{"\uffff":2,"\U00010000":1}'.encode(), id="order of octets"),
        pytest.param([None, True, False, [], {}], b"[null,true,false,[],{}]", id="constants"),
        pytest.param("<>&\u2028\u2029", rb'"\u003c\u003e\u0026\u2028\u2029"', id="what HTML and JavaScript fear"),
        pytest.param("\0\b\t\n\v\f\r\x1f\x7f", b'"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\x7f"', id="control characters"),
        pytest.param('"\\/', rb'"\"\\/"', id="quotes and backslashes"),
        pytest.param("é\U0001f600", '"é\U0001f600"'.encode(), id="all else as it is"),
        pytest.param("\ud800a\udfff", '"\ufffda\ufffd"'.encode(), id="half a surrogate pair"),
        pytest.param({"<": ""}, rb'{"\u003c":""}', id="keys are texts"),
    ],
)
def test_encode(value: Any, written: bytes) -> None:
    """Values are written as Go writes them."""
    assert revisions.encode(value) == written


NUMBERS = {
    "0": 0,
    "-0": -0.0,
    "1": 1.0,
    "-1": -1,
    "30": 30,
    "1000660000": 1000660000,
    "2147483648": 2**31,
    "9007199254740991": 2**53 - 1,
    "9007199254740992": 2**53 + 1,
    "9007199254740996": 2**53 + 3,
    "-9007199254740992": -(2**53) - 1,
    "1234567890123456800": 1234567890123456789,
    "9223372036854776000": 2**63 - 1,
    "-9223372036854776000": -(2**63),
    "18446744073709552000": 2**64 - 1,
    "100000000000000000000": 1e20,
    "999999999999999900000": 999999999999999900000,
    "1e+21": 10**21,
    "-1.5e+21": -1.5e21,
    "1.7976931348623157e+308": 1.7976931348623157e308,
    "0.1": 0.1,
    "0.30000000000000004": 0.1 + 0.2,
    "123.456": 123.456,
    "-2.5": -2.5,
    "0.0001": 1e-4,
    "0.00001": 1e-5,
    "0.000001": 1e-6,
    "-0.0000012345": -1.2345e-6,
    "9.99e-7": 9.99e-7,
    "1e-7": 1e-7,
    "1e-10": 1e-10,
    "5e-324": 5e-324,
}


@pytest.mark.parametrize(("written", "number"), NUMBERS.items(), ids=list(NUMBERS))
def test_encode_number(written: str, number: float) -> None:
    """A number is written as Go writes the float64 next to it."""
    assert revisions.encode_number(number) == written


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70))
def test_numbers_keep_their_value_and_form(number: float) -> None:
    """A written number reads as the same float64, with the fewest digits, and an exponent only far from one."""
    written = revisions.encode_number(number)
    value = float(number)
    assert float(written) == value
    assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d*[1-9])?(e[+-][1-9]\d*)?", written)
    assert ("e" in written) == (value != 0 and not 1e-6 <= abs(value) < 1e21)
    digits, fewest = (re.sub(r"e.*|\D", "", text).strip("0") for text in (written, f"{value!r}"))
    assert digits == fewest


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 10**400], ids=["inf", "-inf", "nan", "10^400"])
def test_numbers_beyond_json(number: float) -> None:
    """What no float64 in JSON can be is refused."""
    with pytest.raises(ValueError, match="beyond a float64"):
        revisions.encode({"a": number})


# ---- a new revision


def template(image: str = "nginx:1", **spec: Any) -> Json:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": image}], **spec}}


def web(
    pod_template: Json | None = None, history_limit: int = 10, kind: str = "StatefulSet", **status: Any
) -> StatefulSet:
    return read_set(
        {
            "kind": kind,
            "metadata": {
                "name": "web",
                "namespace": "default",
                "uid": "uid-web",
                "annotations": {"kubectl.kubernetes.io/restartedAt": "today"},
            },
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "revisionHistoryLimit": history_limit,
                "template": template() if pod_template is None else pod_template,
            },
            "status": status,
        }
    )


@pytest.mark.parametrize(
    ("kind", "api_version"), [("StatefulSet", "apps/v1"), ("OrdinalSet", "headlessdns.io/v1alpha1")]
)
def test_new_revision(kind: str, api_version: str) -> None:
    """A revision carries the labels of the template, the annotations of the set, and the set as its controller."""
    assert revisions.new_revision(web(kind=kind), 7, 0) == {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": "web-774cbfc7fb",
            "namespace": "default",
            "labels": {"app": "web", "controller.kubernetes.io/hash": "774cbfc7fb"},
            "annotations": {"kubectl.kubernetes.io/restartedAt": "today"},
            "ownerReferences": [
                {
                    "apiVersion": api_version,
                    "kind": kind,
                    "name": "web",
                    "uid": "uid-web",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "data": {
            "spec": {
                "template": {
                    "$patch": "replace",
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"image": "nginx:1"}]},
                }
            }
        },
        "revision": 7,
    }


def test_new_revision_of_a_bare_template() -> None:
    """A template without metadata, and a set without annotations, give a revision with the hash as its only label."""
    bare = read_set({"kind": "StatefulSet", "metadata": {"name": "web"}, "spec": {"template": {"spec": {}}}})
    metadata = revisions.new_revision(bare, 1, 0)["metadata"]
    assert list(metadata["labels"]) == ["controller.kubernetes.io/hash"]
    assert "annotations" not in metadata


@pytest.mark.parametrize(
    ("status", "collision_count", "name", "label"),
    [
        pytest.param({}, 0, "web-774cbfc7fb", "774cbfc7fb", id="none yet"),
        pytest.param({}, 1, "web-774cbfc7fc", "774cbfc7fb", id="just met: the label stays"),
        pytest.param({"collisionCount": 1}, 1, "web-774cbfc7fc", "774cbfc7fc", id="known to the status"),
    ],
)
def test_new_revision_after_a_collision(status: Json, collision_count: int, name: str, label: str) -> None:
    """A collision changes the name; the label follows once the status counts it."""
    metadata = revisions.new_revision(web(**status), 1, collision_count)["metadata"]
    assert (metadata["name"], metadata["labels"]["controller.kubernetes.io/hash"]) == (name, label)


# ---- which is current, and which is new


def revision(name: str, pod_template: Json, number: int, created: str = "2026-01-01T00:00:00Z") -> Revision:
    data = {"spec": {"template": pod_template | {"$patch": "replace"}}}
    metadata = {"name": name, "namespace": "default", "creationTimestamp": created}
    return read_revision({"metadata": metadata, "data": data, "revision": number})


def damaged(name: str, number: int, data: bytes) -> Revision:
    return Revision(Metadata(name), msgspec.Raw(data), number)


ONE, TWO, THREE = (template(f"nginx:{version}") for version in (1, 2, 3))
AFTER_CHANGE = [revision("web-1", ONE, 1), revision("web-2", TWO, 2)]


def test_first_revision() -> None:
    """A set without revisions gets its first, which is current and new."""
    choice = revisions.choose(web(ONE), [], 0)
    assert choice.create == revisions.new_revision(web(ONE), 1, 0)
    assert (choice.current_name, choice.current_template) == ("web-774cbfc7fb", ONE)
    assert (choice.update_name, choice.update_template) == ("web-774cbfc7fb", ONE)
    assert choice.renumber is None


def test_equal_to_the_newest() -> None:
    """While the template is that of the newest revision, nothing is written."""
    choice = revisions.choose(web(TWO, currentRevision="web-1"), AFTER_CHANGE, 0)
    assert (choice.create, choice.renumber) == (None, None)
    assert (choice.current_name, choice.current_template) == ("web-1", ONE)
    assert (choice.update_name, choice.update_template) == ("web-2", TWO)


def test_equal_to_none() -> None:
    """A new template is written down under the number after the highest; what was current stays current."""
    choice = revisions.choose(web(THREE, currentRevision="web-2"), AFTER_CHANGE, 0)
    assert choice.create == revisions.new_revision(web(THREE), 3, 0)
    assert (choice.current_name, choice.update_name) == ("web-2", choice.create["metadata"]["name"])


def test_equal_to_an_older_one() -> None:
    """A template that was there before makes its revision the newest: a rollback."""
    choice = revisions.choose(web(ONE, currentRevision="web-2"), AFTER_CHANGE, 0)
    assert choice.renumber == Renumber(AFTER_CHANGE[0], 3)
    assert choice.create is None
    assert (choice.current_name, choice.update_name) == ("web-2", "web-1")


def test_equal_to_several() -> None:
    """Of several revisions with the template, the newest is taken."""
    choice = revisions.choose(web(ONE), [revision("web-a", ONE, 1), revision("web-b", ONE, 4)], 0)
    assert (choice.update_name, choice.renumber) == ("web-b", None)


def test_equal_in_another_form() -> None:
    """Blanks, order and escapes make no other revision of data."""
    form = b'{ "spec": {"template": {"spec": {"args": ["\\u003c\\u00e9>"]}, "$patch": "replace"}}}'
    older = [damaged("web-1", 1, form), revision("web-2", TWO, 2)]
    choice = revisions.choose(web({"spec": {"args": ["<é>"]}}), older, 0)
    assert choice.renumber == Renumber(older[0], 3)


@pytest.mark.parametrize(
    ("known", "current", "expected"),
    [
        pytest.param(AFTER_CHANGE, "web-1", "web-1", id="the one that the status names"),
        pytest.param(AFTER_CHANGE, "web-gone", "web-2", id="gone: the new one"),
        pytest.param(AFTER_CHANGE, None, "web-2", id="never said: the new one"),
    ],
)
def test_current(known: list[Revision], current: str | None, expected: str) -> None:
    """The current revision is the one in the status, as long as it exists."""
    status = {} if current is None else {"currentRevision": current}
    assert revisions.choose(web(TWO, **status), known, 0).current_name == expected


@pytest.mark.parametrize(
    ("known", "newest"),
    [
        pytest.param([revision("a", ONE, 10), revision("b", ONE, 9)], "a", id="by number, not by digits"),
        pytest.param(
            [revision("a", ONE, 1, "2026-01-02T00:00:00Z"), revision("b", ONE, 1, "2026-01-01T00:00:00Z")],
            "a",
            id="then by creation",
        ),
        pytest.param([revision("b", ONE, 1), revision("a", ONE, 1)], "b", id="then by name"),
    ],
)
def test_order(known: list[Revision], newest: str) -> None:
    """Revisions are ordered by number, creation and name."""
    assert [one.name for one in revisions.in_order(known)][-1] == newest
    assert revisions.choose(web(ONE), known, 0).update_name == newest


def with_metadata(**metadata: Any) -> Json:
    return ONE | {"metadata": ONE["metadata"] | metadata}


@pytest.mark.parametrize(
    ("stored", "served"),
    [
        pytest.param(with_metadata(creationTimestamp=None), ONE, id="creationTimestamp: null was written by 1.33"),
        pytest.param(ONE, with_metadata(creationTimestamp=None), id="and is served by 1.33"),
        pytest.param(template(resources={}), ONE, id="resources that say nothing"),
        pytest.param(
            template(volumes=[{"name": "a", "ephemeral": {"volumeClaimTemplate": {"metadata": {}, "spec": {}}}}]),
            template(volumes=[{"name": "a", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]),
            id="metadata that say nothing, in a list",
        ),
    ],
)
def test_same_meaning(stored: Json, served: Json) -> None:
    """A revision by another version that only writes unset members, or leaves them out, starts no rollout."""
    choice = revisions.choose(web(served), [revision("web-1", TWO, 1), revision("web-2", stored, 2)], 0)
    assert (choice.update_name, choice.create, choice.renumber) == ("web-2", None, None)
    assert choice.update_template == served


def affinity(**term: Any) -> Json:
    return template(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})


@pytest.mark.parametrize(
    ("stored", "served"),
    [
        pytest.param(
            affinity(topologyKey="zone"),
            affinity(topologyKey="zone", namespaceSelector={}),
            id="an empty selector selects all namespaces, no selector its own",
        ),
        pytest.param(
            affinity(topologyKey="zone", labelSelector={}),
            affinity(topologyKey="zone"),
            id="an empty selector selects all pods, no selector none",
        ),
        pytest.param(template(tolerations=[{}]), template(tolerations=[]), id="an empty toleration tolerates all"),
        pytest.param(template(priority=0), ONE, id="zero is a value"),
        pytest.param(template(hostNetwork=False), ONE, id="false is a value"),
        pytest.param(template(subdomain=""), ONE, id="the empty text is a value"),
    ],
)
def test_other_meaning(stored: Json, served: Json) -> None:
    """A change that only looks empty is a change."""
    assert revisions.choose(web(served), [revision("web-1", stored, 1)], 0).create is not None


def test_same_meaning_as_an_older_one() -> None:
    """Only the newest revision is looked at for its meaning: an older one has to be equal."""
    older = [revision("web-1", with_metadata(creationTimestamp=None), 1), revision("web-2", TWO, 2)]
    assert revisions.choose(web(ONE), older, 0).create is not None


def test_numbers_of_the_set_are_not_rounded() -> None:
    """Pods of the present template get its numbers, although data of revisions hold only 53 bits of them."""
    exact = template(terminationGracePeriodSeconds=2**53 + 1)
    (first,) = [revision("web-1", template(terminationGracePeriodSeconds=2**53), 1)]
    choice = revisions.choose(web(exact), [first], 0)
    assert (choice.update_name, choice.update_template) == ("web-1", exact)


DAMAGES = [b"{}", b"null", b"[]", b'{"spec":null}', b'{"spec":{"template":7}}']


@pytest.mark.parametrize("data", DAMAGES, ids=bytes.decode)
def test_damaged_revision_that_is_current(data: bytes) -> None:
    """A current revision that restores no template is an error that names it and a way out."""
    with pytest.raises(ValueError, match=r"web-1 holds no spec\.template; delete it"):
        revisions.choose(web(TWO, currentRevision="web-1"), [damaged("web-1", 1, data), AFTER_CHANGE[1]], 0)


@pytest.mark.parametrize("data", DAMAGES, ids=bytes.decode)
def test_damaged_revision_that_is_not(data: bytes) -> None:
    """A revision that restores no template, and that nothing is made from, hinders nothing."""
    choice = revisions.choose(web(TWO, currentRevision="web-2"), [AFTER_CHANGE[1], damaged("web-3", 3, data)], 0)
    assert choice.renumber == Renumber(AFTER_CHANGE[1], 4)
    assert revisions.choose(web(THREE), [damaged("web-3", 3, data)], 0).create is not None


def test_template_of() -> None:
    """A revision restores its template without the directive that replaces the other one."""
    assert revisions.template_of(AFTER_CHANGE[0]) == ONE


# ---- which are forgotten


def pod_of(revision_name: str) -> Pod:
    return read_pod({"metadata": {"name": "web-0", "labels": {"controller-revision-hash": revision_name}}})


@pytest.mark.parametrize(
    ("history_limit", "live", "pods", "forgotten"),
    [
        pytest.param(10, ["r5"], [], [], id="within the limit"),
        pytest.param(2, ["r5"], [], ["r1", "r2"], id="the oldest go first"),
        pytest.param(4, ["r5"], [], [], id="the limit does not count live ones"),
        pytest.param(0, ["r5"], [], ["r1", "r2", "r3", "r4"], id="0 keeps only live ones"),
        pytest.param(0, ["r2", "r5"], [], ["r1", "r3", "r4"], id="the current one is live"),
        pytest.param(0, ["r5"], ["r1", "r3"], ["r2", "r4"], id="what a pod was made from is live"),
        pytest.param(0, ["r5"], ["", "gone"], ["r1", "r2", "r3", "r4"], id="pods of no known revision"),
        pytest.param(1, ["r1", "r5"], ["r2"], ["r3"], id="the limit counts dead ones only"),
        pytest.param(-1, ["r5"], [], [], id="a negative limit keeps all"),
        pytest.param(0, ["new"], [], ["r1", "r2", "r3", "r4", "r5"], id="the new one is not there yet"),
    ],
)
def test_to_forget(history_limit: int, live: list[str], pods: list[str], forgotten: list[str]) -> None:
    """Revisions that nothing is made from are forgotten, the oldest first, until the limit is kept."""
    known = [revision(f"r{number}", ONE, number) for number in (3, 1, 5, 2, 4)]
    found = revisions.to_forget(web(history_limit=history_limit), known, [pod_of(name) for name in pods], live)
    assert [one.name for one in found] == forgotten

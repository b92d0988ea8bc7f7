"""Who one is and what one may do: whoever has the token may do everything. Pure."""

from __future__ import annotations

from typing import Any

from headlessdns.lab.api import bodies
from headlessdns.lab.api.kinds import Resource
from headlessdns.lab.api.messages import Answer, Request, answer
from headlessdns.lab.api.status import method_not_allowed

_AUTHORIZATION = "authorization.k8s.io"


REVIEWS: dict[tuple[str, str, str], Resource] = {
    (one.group, one.version, one.plural): one
    for one in (
        Resource(
            _AUTHORIZATION,
            "v1",
            "SelfSubjectAccessReview",
            "selfsubjectaccessreviews",
            "selfsubjectaccessreview",
            namespaced=False,
        ),
        Resource(
            _AUTHORIZATION,
            "v1",
            "SelfSubjectRulesReview",
            "selfsubjectrulesreviews",
            "selfsubjectrulesreview",
            namespaced=False,
        ),
        Resource(
            "authentication.k8s.io",
            "v1",
            "SelfSubjectReview",
            "selfsubjectreviews",
            "selfsubjectreview",
            namespaced=False,
        ),
    )
}


# The other one is asked for by its path; discovery would say that it can be listed.
DISCOVERED_REVIEWS = [one for one in REVIEWS.values() if one.group == _AUTHORIZATION]


def review(request: Request, resource: Resource) -> Answer:
    """Answer who one is and what one may do: everything. A protobuf body need not be read for that.

    Raises:
        ApiError: It is not asked so.
    """
    kind = resource.kind
    if request.method != "POST":
        raise method_not_allowed()
    body: Any = {}
    if request.content_type.partition(";")[0] != bodies.PROTOBUF:
        body = bodies.decode_object(request.body, request.content_type)
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    status = {
        "SelfSubjectAccessReview": {"allowed": True, "reason": "whoever has the lab's token may do everything"},
        "SelfSubjectRulesReview": {
            "resourceRules": [everything],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": False,
        },
        "SelfSubjectReview": {"userInfo": {"username": "lab", "groups": ["system:masters", "system:authenticated"]}},
    }[kind]
    object = {"kind": kind, "apiVersion": resource.group_version, "metadata": {}, "spec": body.get("spec") or {}}
    if kind == "SelfSubjectReview":
        del object["spec"]
    return answer(201, {**object, "status": status})

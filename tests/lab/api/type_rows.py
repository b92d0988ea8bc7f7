"""Objects with a value of a wrong type, whose refusal by a real API server is kept in ``golden/types.json``."""

from __future__ import annotations

from tests.lab.api.patch_rows import container, template
from tests.lab.api.validation_rows import SERVICE, SET, SLICE, Json, merged, thing

ROWS: dict[str, Json] = {
    "text for a number": merged(SET, {"spec": {"replicas": "3"}}),
    "a fraction": merged(SET, {"spec": {"replicas": 1.5}}),
    "beyond 32 bits": merged(SET, {"spec": {"replicas": 2147483648}}),
    "a list for an object": {**SET, "spec": [1]},
    "text for metadata": {**SET, "metadata": "x"},
    "an object for a list": merged(SET, template(containers={"a": 1})),
    "a list of text for one of objects": merged(SET, template(containers=["a"])),
    "a number for text": merged(SET, template(containers=[{"name": 5}])),
    "text for a bool": merged(SET, container(image="a", tty="yes")),
    "text for a list of text": merged(SET, container(image="a", command="x")),
    "a number for a label": merged(SET, {"metadata": {"labels": {"a": 1}}}),
    "a list for labels": merged(SET, {"metadata": {"labels": ["a"]}}),
    "a bool in a selector": merged(SET, {"spec": {"selector": {"matchLabels": {"a": True}}}}),
    "no quantity": merged(SET, container(image="a", resources={"limits": {"cpu": "abc"}})),
    "a list for a number or text": merged(
        SET, {"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": [1]}}}}
    ),
    "a port of text": merged(SERVICE, {"spec": {"ports": [{"port": "x"}]}}),
    "a target port with a fraction": merged(SERVICE, {"spec": {"ports": [{"port": 80, "targetPort": 1.5}]}}),
    "a number in a config map": thing("ConfigMap", data={"a": 1}),
    "text for addresses": merged(SLICE, {"endpoints": [{"addresses": "x"}]}),
}

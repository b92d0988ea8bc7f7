"""What the controller knows of sets, pods, claims and revisions.

Source: the Kubernetes API reference, v1.36 (apps/v1, core/v1). Pods and claims are read into slim structs. Templates,
claim templates and the data of revisions stay JSON as it came: a typed model would drop the fields that it does not
know, and so change pods and the hashes of revisions. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple, TypeVar

import msgspec

from headlessdns.cluster.objects import Key
from headlessdns.cluster.selectors import Requirement, Selector

Json = dict[str, Any]
T = TypeVar("T")

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
REVISION_LABEL = "controller-revision-hash"
HASH_LABEL = "controller.kubernetes.io/hash"

MAX_UNAVAILABLE_ANNOTATION = "headlessdns.io/max-unavailable"
PAUSED_ANNOTATION = "headlessdns.io/paused"
RESERVE_ORDINALS_ANNOTATION = "headlessdns.io/reserve-ordinals"
CLAIM_GROWTH_ANNOTATION = "headlessdns.io/claim-growth"
NO_HEAL_ANNOTATION = "headlessdns.io/no-heal"

MAX_ORDINAL = 2**31 - 1
MAX_REPLICAS = 100_000  # of one set, and of ordinals left out: lists of them are to fit the memory
_SHOWN = 200  # characters of a value that is wrong
NO_ORDINALS: frozenset[int] = frozenset()


class SetKind(Enum):
    """The kinds that are reconciled, with their group and version."""

    STATEFUL_SET = "StatefulSet"
    ORDINAL_SET = "OrdinalSet"

    @property
    def api_version(self) -> str:
        """The group and version, as in `apiVersion`."""
        return "apps/v1" if self is SetKind.STATEFUL_SET else "headlessdns.io/v1alpha1"

    @property
    def plural(self) -> str:
        """The name in paths."""
        return "statefulsets" if self is SetKind.STATEFUL_SET else "ordinalsets"


class SetKey(NamedTuple):
    """What a set is known by in caches and queues."""

    kind: SetKind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.namespace}/{self.name}"


# Objects


class OwnerReference(msgspec.Struct, rename="camel", frozen=True, gc=False, omit_defaults=True):
    """metav1.OwnerReference."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class Metadata(msgspec.Struct, rename="camel", gc=False):
    """ObjectMeta, as far as ownership needs it."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return Key(self.namespace, self.name)

    def controller(self) -> OwnerReference | None:
        """Return the reference to the managing controller."""
        for reference in self.owner_references or ():
            if reference.controller:
                return reference
        return None


class PodCondition(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A condition of a pod."""

    type: str
    status: str
    last_transition_time: str | None = None
    reason: str | None = None
    message: str | None = None


class ContainerWaiting(msgspec.Struct, frozen=True, gc=False):
    """Why a container does not run."""

    reason: str | None = None
    message: str | None = None


class ContainerState(msgspec.Struct, frozen=True, gc=False):
    """The state of a container, as far as it explains a wait."""

    waiting: ContainerWaiting | None = None


class ContainerStatus(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The status of a container."""

    name: str
    restart_count: int = 0
    state: ContainerState | None = None


class PodStatus(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The status of a pod."""

    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    start_time: str | None = None
    conditions: tuple[PodCondition, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class ClaimVolumeSource(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A volume that is a claim."""

    claim_name: str = ""


class Volume(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A volume of a pod, as far as it is a claim."""

    name: str
    persistent_volume_claim: ClaimVolumeSource | None = None


class PodSpec(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The specification of a pod."""

    node_name: str | None = None
    volumes: tuple[Volume, ...] | None = None


class Pod(msgspec.Struct, gc=False):
    """A pod as it is observed.

    Attributes:
        was_ready: Whether it has been seen Ready; the API does not keep that.
    """

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()
    was_ready: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self.metadata.labels or {}

    @property
    def revision(self) -> str:
        """The name of the revision that it was made from; empty where it does not say."""
        return self.labels.get(REVISION_LABEL, "")

    @property
    def phase(self) -> str:
        """Its phase; empty where nothing has said one."""
        return self.status.phase or ""

    @property
    def is_created(self) -> bool:
        """Whether the API server has taken it in."""
        return bool(self.phase)

    @property
    def is_terminal(self) -> bool:
        """Whether it will never run again."""
        return self.phase in ("Failed", "Succeeded")

    @property
    def is_terminating(self) -> bool:
        """Whether its deletion has begun."""
        return self.metadata.deletion_timestamp is not None

    def condition(self, type: str) -> PodCondition | None:
        """Return the condition of that type."""
        for condition in self.status.conditions or ():
            if condition.type == type:
                return condition
        return None

    @property
    def is_ready(self) -> bool:
        """Whether the Ready condition is true; the phase does not matter."""
        ready = self.condition("Ready")
        return ready is not None and ready.status == "True"

    @property
    def is_running_and_ready(self) -> bool:
        """Whether it runs and is ready (S32)."""
        return self.phase == "Running" and self.is_ready

    def available_in_s(self, min_ready_s: int, now_s: float) -> float | None:
        """Return in how many seconds it is available, 0 where it is; None where it is not ready (S46).

        Args:
            min_ready_s: How long it has to have been ready.
            now_s: Unix time.
        """
        ready = self.condition("Ready")
        if ready is None or ready.status != "True":
            return None
        if not min_ready_s:
            return 0.0
        if not ready.last_transition_time:
            return None
        return max(read_time(ready.last_transition_time) + min_ready_s - now_s, 0.0)

    def is_available(self, min_ready_s: int, now_s: float) -> bool:
        """Tell whether it has been ready for *min_ready_s*."""
        return self.available_in_s(min_ready_s, now_s) == 0.0

    def is_unavailable(self, min_ready_s: int, now_s: float) -> bool:
        """Tell whether it cannot be counted on: not available, or on its way out (S31)."""
        return self.is_terminating or not self.is_available(min_ready_s, now_s)


class ClaimResources(msgspec.Struct, frozen=True, gc=False):
    """What a claim asks for."""

    requests: dict[str, str | int] | None = None


class ClaimSpec(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The specification of a claim."""

    resources: ClaimResources | None = None
    storage_class_name: str | None = None


class ClaimStatus(msgspec.Struct, frozen=True, gc=False):
    """The status of a claim."""

    phase: str | None = None


class Claim(msgspec.Struct, gc=False):
    """A PersistentVolumeClaim as it is observed."""

    metadata: Metadata
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    @property
    def is_terminating(self) -> bool:
        """Whether its deletion has begun."""
        return self.metadata.deletion_timestamp is not None

    @property
    def owners(self) -> tuple[OwnerReference, ...]:
        """Its owner references."""
        return self.metadata.owner_references or ()


class Revision(msgspec.Struct, gc=False):
    """A ControllerRevision. `data` is the JSON as it came."""

    metadata: Metadata
    data: msgspec.Raw = msgspec.Raw(b"{}")
    revision: int = 0

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name


class Status(msgspec.Struct, rename="camel", frozen=True, omit_defaults=False):
    """The part of a set's status that the reference writes (S41 to S43)."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    collision_count: int | None = None


class StatefulSet(msgspec.Struct, frozen=True, eq=False):
    """A StatefulSet or an OrdinalSet: what is wanted, with the API's defaults filled in (S51).

    Attributes:
        template: The pod template as it came.
        claim_templates: The claim templates as they came.
        has_rolling_update: Whether `updateStrategy.rollingUpdate` is there (S28).
        reserved: Ordinals that are left out.
        heals: Whether a broken pod of a superseded revision may be replaced.
        conditions: The conditions in its status as they came, others' included.
        faults: What is wrong with it; while there is anything, nothing is done.
    """

    kind: SetKind
    metadata: Metadata
    generation: int
    annotations: Mapping[str, str]
    selector: Selector
    match_labels: Mapping[str, str]
    template: Json
    claim_templates: tuple[Json, ...] = ()
    service_name: str = ""
    replicas: int = 1
    start: int = 0
    is_parallel: bool = False
    is_on_delete: bool = False
    has_rolling_update: bool = True
    partition: int = 0
    max_unavailable: int | str | None = None
    min_ready_s: int = 0
    history_limit: int = 10
    deletes_when_deleted: bool = False
    deletes_when_scaled: bool = False
    reserved: frozenset[int] = NO_ORDINALS
    is_paused: bool = False
    grows_claims: bool = False
    heals: bool = True
    progress_deadline_s: int = 600
    status: Status = Status()
    conditions: tuple[Json, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.metadata.namespace

    @property
    def key(self) -> SetKey:
        """What it is known by."""
        return SetKey(self.kind, self.namespace, self.name)

    @property
    def is_being_deleted(self) -> bool:
        """Whether its deletion has begun."""
        return self.metadata.deletion_timestamp is not None

    def reference(self) -> OwnerReference:
        """Return the reference that its pods and revisions carry."""
        return OwnerReference(
            self.kind.api_version,
            self.kind.value,
            self.name,
            self.metadata.uid,
            controller=True,
            block_owner_deletion=True,
        )

    def ordinals(self) -> list[int]:
        """Return the ordinals that are to exist, ascending (S7); reserved ones are passed over.

        Of a set that wants more than `MAX_REPLICAS`, which is a fault, the first ones.
        """
        wanted: list[int] = []
        ordinal, count = self.start, min(self.replicas, MAX_REPLICAS)
        while len(wanted) < count:
            if ordinal not in self.reserved:
                wanted.append(ordinal)
            ordinal += 1
        return wanted

    def budget(self) -> int:
        """Return how many pods an update may make unavailable at once: at least one (S37)."""
        value = self.max_unavailable
        if value is None:
            return 1
        if isinstance(value, str):
            return max(self.replicas * int(value.removesuffix("%")) // 100, 1)
        return max(value, 1)


# Names

_POD_NAME = re.compile(r"(.*)-([0-9]+)\Z", re.DOTALL)


def parent_and_ordinal(pod_name: str) -> tuple[str, int]:
    """Return the set's name and the ordinal in *pod_name*: ("", -1) where there are none (S1)."""
    found = _POD_NAME.match(pod_name)
    if found is None:
        return "", -1
    ordinal = int(found[2]) if len(found[2]) < 20 else MAX_ORDINAL + 1
    return found[1], ordinal if ordinal <= MAX_ORDINAL else -1


def ordinal_of(pod_name: str) -> int:
    """Return the ordinal in *pod_name*, -1 where there is none."""
    return parent_and_ordinal(pod_name)[1]


def read_time(text: str) -> float:
    """Return the Unix time of an RFC 3339 *text*.

    Raises:
        ValueError: It is none.
    """
    return datetime.fromisoformat(text).timestamp()


# Reading

_OPERATORS = {"In": True, "Exists": True, "NotIn": False, "DoesNotExist": False}


def read_selector(selector: Mapping[str, Any]) -> Selector:
    """Return the selector that a LabelSelector writes.

    Raises:
        ValueError: An operator is none of the four, or lacks its values; says which.
    """
    requirements = [
        Requirement(key, frozenset({value}), wanted=True) for key, value in (selector.get("matchLabels") or {}).items()
    ]
    for expression in selector.get("matchExpressions") or ():
        operator, values = expression.get("operator"), expression.get("values")
        if operator not in _OPERATORS:
            raise ValueError(f"{operator!r} is no operator of a label selector; expected {', '.join(_OPERATORS)}")
        if operator.endswith("In") is not bool(values):
            expected = "at least one value" if operator.endswith("In") else "no values"
            raise ValueError(f"{operator} of {expression.get('key')!r} has {values!r}; expected {expected}")
        wanted_values = frozenset(values) if values else None
        requirements.append(Requirement(expression.get("key", ""), wanted_values, wanted=_OPERATORS[operator]))
    return Selector(tuple(requirements))


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a LabelSelector selects *labels*; none selects nothing, and neither does one that cannot be read."""
    try:
        return selector is not None and read_selector(selector).matches(labels)
    except ValueError:
        return False


def read_set(raw: Json) -> StatefulSet:
    """Return the set that *raw*, a StatefulSet or an OrdinalSet as the API has it, describes.

    What the API lets through and we cannot follow, such as an annotation that is no number, stands in `faults`. So does
    all that is wrong with an OrdinalSet, which may have been stored under an older schema, or under none.

    Raises:
        msgspec.ValidationError: A field of the metadata or the status has another type than the API gives it.
    """
    if raw["kind"] != SetKind.ORDINAL_SET.value:
        return _read_set(raw)
    from headlessdns.controller import validate  # it reads selectors and ordinals with what is here

    found = validate.faults(raw)
    if not found:
        return _read_set(raw)
    faults = tuple(f"{fault.where} is {fault.found[:_SHOWN]}; expected {fault.expected}" for fault in found)
    can_be_read = validate.has_types(raw) and (raw.get("spec") or {}).get("template") is not None
    return msgspec.structs.replace(_read_set(raw) if can_be_read else _read_name(raw), faults=faults)


def _read_name(raw: Json) -> StatefulSet:
    """Return a set that wants nothing; the rest of *raw* cannot be read."""
    empty = {"selector": {}, "template": {}, "replicas": 0}
    return _read_set({**raw, "metadata": {**raw["metadata"], "annotations": None}, "spec": empty})


def _read_set(raw: Json) -> StatefulSet:
    kind = SetKind(raw["kind"])
    spec, status = raw["spec"], raw.get("status") or {}
    annotations = raw["metadata"].get("annotations") or {}
    strategy = spec.get("updateStrategy") or {}
    rolling_update = strategy.get("rollingUpdate")
    selector = spec.get("selector") or {}
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    faults: list[str] = []
    extras = _read_extras(kind, spec, rolling_update or {}, annotations, faults)
    set = StatefulSet(
        kind,
        msgspec.convert(raw["metadata"], Metadata),
        generation=raw["metadata"].get("generation", 0),
        annotations=annotations,
        selector=_or_fault(faults, read_selector, selector, Selector()),
        match_labels=selector.get("matchLabels") or {},
        template=spec["template"],
        claim_templates=tuple(spec.get("volumeClaimTemplates") or ()),
        service_name=spec.get("serviceName") or "",
        replicas=_default(spec.get("replicas"), 1),
        start=_default((spec.get("ordinals") or {}).get("start"), 0),
        is_parallel=spec.get("podManagementPolicy") == "Parallel",
        is_on_delete=strategy.get("type") == "OnDelete",
        has_rolling_update=rolling_update is not None or not strategy,
        partition=_default((rolling_update or {}).get("partition"), 0),
        min_ready_s=_default(spec.get("minReadySeconds"), 0),
        history_limit=_default(spec.get("revisionHistoryLimit"), 10),
        deletes_when_deleted=retention.get("whenDeleted") == "Delete",
        deletes_when_scaled=retention.get("whenScaled") == "Delete",
        status=msgspec.convert({key: value for key, value in status.items() if value is not None}, Status),
        conditions=tuple(status.get("conditions") or ()),
        **extras,
    )
    return msgspec.structs.replace(set, faults=(*faults, *_too_many(set)))


def _too_many(set: StatefulSet) -> Iterator[str]:
    """Yield what is wrong with the ordinals, though each number by itself may be as it is."""
    if set.replicas > MAX_REPLICAS:
        yield f"spec.replicas is {set.replicas}; expected at most {MAX_REPLICAS}"
    elif set.start + set.replicas + len(set.reserved) > MAX_ORDINAL and set.ordinals()[-1:] > [MAX_ORDINAL]:
        yield f"the last ordinal is {set.ordinals()[-1]}; expected at most {MAX_ORDINAL}"


def _default(value: int | None, default: int) -> int:
    return default if value is None else value


def _or_fault(faults: list[str], read: Callable[[Any], T], value: Any, default: T) -> T:
    """Return what *read* makes of *value*, or *default* and one more fault."""
    try:
        return read(value)
    except ValueError as error:
        faults.append(str(error))
        return default


def _read_extras(
    kind: SetKind, spec: Json, rolling_update: Json, annotations: Mapping[str, str], faults: list[str]
) -> dict[str, Any]:
    """Return what goes beyond apps/v1: fields of an OrdinalSet, annotations of a StatefulSet."""
    if kind is SetKind.ORDINAL_SET:
        max_unavailable = rolling_update.get("maxUnavailable")
        reserved = spec.get("reserveOrdinals") or []
        paused, growth = bool(spec.get("paused")), spec.get("claimGrowth") == "Expand"
    else:
        max_unavailable = annotations.get(MAX_UNAVAILABLE_ANNOTATION)
        reserved = [part for part in annotations.get(RESERVE_ORDINALS_ANNOTATION, "").split(",") if part.strip()]
        paused, growth = is_true(annotations.get(PAUSED_ANNOTATION)), is_true(annotations.get(CLAIM_GROWTH_ANNOTATION))
    return {
        "max_unavailable": _or_fault(faults, read_max_unavailable, max_unavailable, None),
        "reserved": _or_fault(faults, read_ordinals, reserved, NO_ORDINALS),
        "is_paused": paused,
        "grows_claims": growth,
        "heals": not is_true(annotations.get(NO_HEAL_ANNOTATION)),
        "progress_deadline_s": _default(spec.get("progressDeadlineSeconds"), 600),
    }


def is_true(text: str | None) -> bool:
    """Tell whether an annotation says yes."""
    return text is not None and text.strip().lower() == "true"


def read_max_unavailable(value: int | str | None) -> int | str | None:
    """Return a number, a percentage, or None where there is none.

    Raises:
        ValueError: It is neither, or zero, or above 100 %.
    """
    if value is None:
        return None
    found = re.fullmatch(r"\s*([0-9]{1,9})(%?)\s*", str(value))
    if found is None or not int(found[1]) or (found[2] and int(found[1]) > 100):
        raise ValueError(f"maxUnavailable is {value!r}; expected a number from 1 on, or 1% to 100%")
    return f"{int(found[1])}%" if found[2] else int(found[1])


def read_ordinals(parts: Iterable[int | str]) -> frozenset[int]:
    """Return the ordinals that *parts* name: numbers, and ranges such as ``3-5``.

    Raises:
        ValueError: A part is neither, or names more than 10,000; or all of them name more than `MAX_REPLICAS`.
    """
    found: set[int] = set()
    for part in parts:
        match = re.fullmatch(r"\s*([0-9]{1,10})(?:-([0-9]{1,10}))?\s*", str(part))
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= MAX_ORDINAL or last - first >= 10_000:
            raise ValueError(f"reserveOrdinals has {part!r}; expected a number, or a range such as 3-5")
        found.update(range(first, last + 1))
        if len(found) > MAX_REPLICAS:
            raise ValueError(f"reserveOrdinals names more than {MAX_REPLICAS} ordinals; expected fewer")
    return frozenset(found)


POD = msgspec.json.Decoder(Pod)
CLAIM = msgspec.json.Decoder(Claim)
REVISION = msgspec.json.Decoder(Revision)


def read_pod(raw: Json) -> Pod:
    """Return the pod that *raw* describes."""
    return msgspec.convert(raw, Pod)


def read_claim(raw: Json) -> Claim:
    """Return the claim that *raw* describes."""
    return msgspec.convert(raw, Claim)


def read_revision(raw: Json) -> Revision:
    """Return the revision that *raw* describes."""
    return REVISION.decode(msgspec.json.encode(raw))

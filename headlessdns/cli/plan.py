"""``headlessdns plan``: what the controller would do about the sets in a file, now or to the end.

I/O: standard output, and what `scene` reads.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from headlessdns.cli import scene
from headlessdns.cli.scene import Scene
from headlessdns.controller import conditions, describe, explain
from headlessdns.controller.model import Json, SetKey, StatefulSet, parent_and_ordinal, read_pod, read_set
from headlessdns.controller.plan import Plan
from headlessdns.controller.simulate import FAIL_ANNOTATION, NOT_READY_ANNOTATION, POD, Outcome, World, WriteStatus

BROKEN_S = 300.0  # a pod that has not been ready for so long stays so
MAX_STEPS = 10_000
_SHOWN_NAMES = 6


_HELP = """\
Print what the controller would do, without a cluster.

What will a change of the template do to the pods that are there?

\b
  kubectl get statefulsets,pods,controllerrevisions,pvc,services -o yaml > now.yaml
  headlessdns plan -f new.yaml --pods now.yaml --steps 100

Pods that are broken, or have not been ready for five minutes, stay so; all others start, become ready and end as
they should. Pods with the annotation lab.headlessdns.io/ready: "false" never become ready: in a template it shows
where a bad rollout stops.
"""  # \b: click leaves this paragraph as it is


@click.command(
    name="plan",
    help=_HELP,
    epilog="Exit codes: 0 where a plan was printed, also where nothing is to be done; 2 for wrong input, with every "
    "fault of every file.",
)
@click.option(
    "-f",
    "--filename",
    "wanted",
    metavar="FILE",
    multiple=True,
    required=True,
    help="StatefulSets and OrdinalSets as they are to be, in YAML or JSON; repeatable, - is standard input.",
)
@click.option(
    "--pods",
    "there",
    metavar="FILE",
    multiple=True,
    help="What is there: pods, claims, revisions, Services, and the sets as they are; repeatable. Without it nothing "
    "is there yet.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, MAX_STEPS),
    metavar="N",
    help="Go on for up to N steps, pods becoming ready in between, or until nothing is left to do.",
)
@click.option("-n", "--namespace", default="default", show_default=True, help="Of objects that do not say theirs.")
def command(wanted: tuple[str, ...], there: tuple[str, ...], steps: int | None, namespace: str) -> None:
    """Print the plan."""
    now_s = time.time()
    stage = scene.read(wanted, there, namespace, now_s)
    for number, key in enumerate(stage.keys):
        if number:
            click.echo()
        for line in _show(stage, key, steps):
            click.echo(line)


def _show(stage: Scene, key: SetKey, steps: int | None) -> Iterator[str]:
    world = stage.worlds[key.namespace]
    set = _set(world, key)
    yield f"{key}: {_count(set.replicas, 'pod')} wanted, {_census(world, set)}"
    yield from (f"  warning {reason}: {message}" for reason, message in _warnings(stage, world, set))
    if steps is None:
        yield from _now(world, key)
    else:
        yield from _Rehearsal(world, key).lines(steps)


def _set(world: World, key: SetKey) -> StatefulSet:
    raw = world.get(key.kind.value, key.name)
    assert raw is not None  # nobody deletes sets here
    return read_set(raw)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _census(world: World, set: StatefulSet) -> str:
    pods = [read_pod(raw) for raw in _own_pods(world, set)]
    revisions = Counter(pod.revision for pod in pods)
    made_from = ", ".join(f"{count} of {name}" for name, count in sorted(revisions.items()))
    ready = sum(pod.is_running_and_ready for pod in pods)
    return f"{len(pods)} there, {ready} ready ({made_from})" if pods else "none there"


def _own_pods(world: World, set: StatefulSet) -> Iterator[Json]:
    for name in world.names(POD):
        raw = world.get(POD, name)
        assert raw is not None
        owner = read_pod(raw).metadata.controller()
        if owner is not None and owner.uid == set.metadata.uid:
            yield raw


def _warnings(stage: Scene, world: World, set: StatefulSet) -> Iterator[tuple[str, str]]:
    """Yield what silently breaks names; without any Service among the files nothing is said of Services."""
    names = (f"{set.name}-{ordinal}" for ordinal in set.ordinals())
    pods = {name: read_pod(raw) for name in names if (raw := world.get(POD, name)) is not None}
    service = (stage.services or {}).get((set.namespace, set.service_name))
    for reason, message in conditions.name_faults(set, pods, service):
        if reason != "GoverningServiceMissing" or stage.services is not None:
            yield reason, message


def _now(world: World, key: SetKey) -> Iterator[str]:
    lines = describe.plan_lines(world.sync(key).plan or Plan(), world.now_s)
    yield from (f"  {line}" for line in lines or ["nothing to do"])


# Step by step


class _Fate(NamedTuple):
    """Pods, by UID, that do not do as they should.

    Attributes:
        broken: They never become ready.
        kept: They never end.
    """

    broken: frozenset[str]
    kept: frozenset[str]


def _fate(world: World) -> _Fate:
    """Return what is to become of the pods that are there."""
    broken, kept = [], []
    for name in world.names(POD):
        pod = read_pod(world.get(POD, name) or {})
        trouble = explain.trouble_of(pod, world.now_s)
        if pod.is_terminating:
            kept += [pod.metadata.uid] if trouble.is_stuck else []
        elif not pod.is_ready and not pod.is_terminal:
            is_old = trouble.since_s is not None and world.now_s - trouble.since_s >= BROKEN_S
            broken += [pod.metadata.uid] if trouble.is_stuck or is_old else []
    return _Fate(frozenset(broken), frozenset(kept))


class _Rehearsal:
    """A rollout, step by step: a step is a sync that does something."""

    def __init__(self, world: World, key: SetKey) -> None:
        self._world = world
        self._key = key
        self._fate = _fate(world)

    def lines(self, steps: int) -> Iterator[str]:
        """Yield what happens in up to *steps* steps, and how it ends."""
        done = 0
        news: list[str] = []
        while True:
            self._world.collect_garbage()
            outcome = self._world.sync(self._key)
            actions = [action for action in outcome.done if not isinstance(action, WriteStatus)]
            written = [line for line in map(describe.action_line, actions) if line]
            if written and done == steps:
                yield f"stopped after {_count(done, 'step')}: there is more to do"
                return
            if written:
                done += 1
                yield f"step {done}{': ' if news else ''}{'; '.join(news)}"
                yield from (f"  {line}" for line in written)
                news = []
            has_moved, words = self._happen(outcome)
            if not written and not has_moved:
                yield from self._end(outcome, done, news)
                return
            news += words

    def _happen(self, outcome: Outcome) -> tuple[bool, list[str]]:
        """Let the pods of the set come one step further, or else time pass; tell whether anything did, and in words."""
        self._world.now_s += 1
        has_started = False
        ended, ready = [], []
        for name in self._world.names(POD):
            if parent_and_ordinal(name)[0] != self._key.name:
                continue
            raw = self._world.get(POD, name) or {}
            pod = read_pod(raw)
            if pod.is_terminating:
                if pod.metadata.uid not in self._fate.kept:
                    self._world.finish_deletion(name)
                    ended.append(name)
            elif pod.phase == "Pending":
                if pod.metadata.uid not in self._fate.broken:
                    has_started |= self._world.start(name)
            elif pod.phase == "Running" and not pod.is_ready and not self._is_broken(raw):
                self._world.report_ready(name)
                ready.append(name)
        words = [f"{_names(ended)} {'has' if len(ended) == 1 else 'have'} ended"] if ended else []
        words += [f"{_names(ready)} {'is' if len(ready) == 1 else 'are'} ready"] if ready else []
        again_s = outcome.plan.again_s if outcome.plan else None
        if again_s and not words and not has_started:
            self._world.now_s += again_s
            words.append(f"{again_s + 1:.0f} s have passed")
        return has_started or bool(words), words

    def _is_broken(self, raw: Json) -> bool:
        metadata = raw["metadata"]
        annotations = metadata.get("annotations") or {}
        is_marked = annotations.get(NOT_READY_ANNOTATION) == "false" or FAIL_ANNOTATION in annotations
        return is_marked or metadata["uid"] in self._fate.broken

    def _end(self, outcome: Outcome, done: int, news: Sequence[str]) -> Iterator[str]:
        if news:
            yield f"then: {'; '.join(news)}"
        after = f" after {_count(done, 'step')}" if done else ""
        wait = outcome.plan.wait if outcome.plan else None
        if outcome.failures:
            yield f"it stays so{after}: refused: {'; '.join(outcome.failures)}"
        elif wait is not None:
            yield f"it stays so{after}: {describe.wait_line(wait, self._world.now_s)}"
        else:
            set = _set(self._world, self._key)
            yield f"nothing is left to do{after}: {_census(self._world, set)}"


def _names(names: Sequence[str]) -> str:
    shown = list(names[:_SHOWN_NAMES])
    if len(names) > _SHOWN_NAMES:
        return f"{', '.join(shown)} and {len(names) - _SHOWN_NAMES} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown)

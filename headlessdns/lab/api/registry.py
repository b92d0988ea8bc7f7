"""Which resources are served: the fixed ones, and those that CustomResourceDefinitions add while it runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headlessdns.lab.api.kinds import RESOURCES, Json, Resource


class Custom(NamedTuple):
    """One version of a custom resource.

    Attributes:
        resource: As it is served.
        schema: Its structural schema.
        storage_version: The version in which its objects are kept.
        scale_paths: Where spec.replicas, status.replicas and the selector are, as steps; empty without /scale.
        selectable: Its selectable fields.
        printer_columns: Of its Table, as the definition has them.
        definition: The name of its CustomResourceDefinition.
    """

    resource: Resource
    schema: Json
    storage_version: str
    scale_paths: tuple[tuple[str, ...], ...] = ()
    selectable: tuple[str, ...] = ()
    printer_columns: tuple[Json, ...] = ()
    definition: str = ""


class Registry:
    """The resources that are served now.

    Attributes:
        changes: Grows with every change, so that what was made of the resources can be made anew.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._custom: dict[tuple[str, str, str], Custom] = {}
        self._resources = {(one.group, one.version, one.plural): one for one in RESOURCES}
        self._by_qualified = {one.qualified: one for one in RESOURCES}

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._resources.values()))

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource at a path, None where there is none."""
        return self._resources.get((group, version, plural))

    def has_group(self, group: str) -> bool:
        """Tell whether anything of *group* is served."""
        return any(key[0] == group for key in self._resources)

    def is_custom(self, group: str) -> bool:
        """Tell whether CustomResourceDefinitions are all that *group* is of."""
        return not any(one.group == group for one in RESOURCES)

    def stored(self, qualified: str) -> Resource | None:
        """Return the resource with this name in messages, in the version in which its objects are kept."""
        return self._by_qualified.get(qualified)

    def custom(self, resource: Resource) -> Custom | None:
        """Return what is custom about *resource*, None where nothing is."""
        return self._custom.get((resource.group, resource.version, resource.plural))

    def define(self, definition: str, versions: list[Custom]) -> None:
        """Serve *versions* of the CustomResourceDefinition *definition*, and no other ones of it."""
        for key, custom in list(self._custom.items()):
            if custom.definition == definition:
                del self._custom[key], self._resources[key]
                self._by_qualified.pop(custom.resource.qualified, None)
        for custom in versions:
            resource = custom.resource
            key = resource.group, resource.version, resource.plural
            self._custom[key] = custom
            self._resources[key] = resource
            if resource.version == custom.storage_version:
                self._by_qualified[resource.qualified] = resource
        self.changes += 1

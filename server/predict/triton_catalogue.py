"""What Tritons have: asked of each, and put together where several stand behind one address."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from tritonclient.grpc.aio import InferenceServerClient

from server.errors import BackendFailed, ModelError
from server.predict.catalogue import Catalogue, ModelEntry, entry_of, unservable
from server.predict.engine import Gpu
from server.predict.members import with_members_checked
from server.predict.repository import ModelRepository
from server.predict.triton_calls import TritonCalls
from server.predict.triton_replicas import Replica

BACKEND = "triton"
_LIST = "the model list"
_READY = "READY"
_CHANGING = {"LOADING", "UNLOADING"}


class TritonCatalogue:
    """Asks over `calls`. `recipes`, `repository` and `gpu` are those of `TritonPredictor`."""

    def __init__(
        self, calls: TritonCalls, *, recipes: Collection[str], repository: ModelRepository | None, gpu: Gpu
    ) -> None:
        self._calls = calls
        self._recipes = recipes
        self._repository = repository
        self._gpu = gpu

    async def of(self, replica: Replica, deadline: float) -> Catalogue:
        """What one server has now. Raises `BackendUnavailable`, `BackendFailed`, `DeadlineExceeded`."""

        async def call(client: InferenceServerClient, left_s: float) -> Any:
            return await client.get_model_repository_index(client_timeout=left_s)

        found: dict[str, list[Any]] = {}
        for row in (await self._calls.control(_LIST, call, deadline, at=replica)).models:
            found.setdefault(row.name, []).append(row)
        entries = {name: await self._describe(replica, name, rows, deadline) for name, rows in found.items()}
        return Catalogue(with_members_checked(entries))

    async def _describe(self, replica: Replica, name: str, rows: Sequence[Any], deadline: float) -> ModelEntry:
        versions = sorted((row.version for row in rows if row.state == _READY), key=int)
        card = (self._repository.card(name) or None) if self._repository else None

        async def call(client: InferenceServerClient, left_s: float) -> Any:
            return (await client.get_model_config(name, client_timeout=left_s)).config

        if versions:
            try:
                config = await self._calls.control(name, call, deadline, at=replica)
                entry = entry_of(config, versions=versions, recipes=self._recipes, backend=BACKEND, card=card)
                misfit = self._misfit(entry)
                return entry.withdrawn(misfit) if misfit else entry
            except (ModelError, BackendFailed) as error:
                reason = error.message
        else:
            said = " ".join(row.reason for row in rows if row.reason).strip()
            own = self._repository.catalogue.entries.get(name) if self._repository else None
            # Of an ensemble that lacks a member Triton says nothing; the files tell.
            known = own.info.reason if own else ""
            reason = self._misfit(own) or (said.splitlines()[0] if said else known or "Triton has not loaded it")
        entry = ModelEntry(unservable(name, reason, backend=BACKEND, card=card))
        return replace(entry, changing=not versions and any(row.state in _CHANGING for row in rows))

    def _misfit(self, entry: ModelEntry | None) -> str:
        engine = entry.contract.engine if entry and entry.contract else None
        return self._gpu.misfit(engine) if engine else ""


def merged(catalogues: Sequence[Catalogue]) -> Catalogue:
    """One catalogue of what several servers have.

    Where they differ in the contract of a model, the one with the newest version is told, then the one that most
    servers have; its versions are those of all servers with that contract. Servers with another one are not asked
    for that model (`Replicas.holding`), so that no request meets another network than it was prepared for.
    """
    if len(catalogues) == 1:
        return catalogues[0]
    names = dict.fromkeys(name for catalogue in catalogues for name in catalogue.entries)
    return Catalogue(
        {name: _merged([each.entries[name] for each in catalogues if name in each.entries]) for name in names}
    )


def _merged(entries: Sequence[ModelEntry]) -> ModelEntry:
    servable = [entry for entry in entries if entry.info.servable]
    if not servable:
        return next((entry for entry in entries if entry.changing), entries[0])
    groups: list[list[ModelEntry]] = []
    for entry in servable:
        group = next((group for group in groups if group[0].contract == entry.contract), None)
        if group is None:
            groups.append([entry])
        else:
            group.append(entry)
    chosen = max(groups, key=lambda group: (max(int(each.info.versions[-1]) for each in group), len(group)))
    versions = sorted({version for entry in chosen for version in entry.info.versions}, key=int)
    least = min(entry.max_batch_size for entry in chosen)
    return replace(chosen[0], info=replace(chosen[0].info, versions=tuple(versions)), max_batch_size=least)

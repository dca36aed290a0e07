"""The processors of a Ray cluster that is there already: an actor for each, which holds one pipeline with one worker.

Actors are restarted by Ray, and open their pipeline anew with the clip that they are given next
(https://docs.ray.io/en/latest/ray-core/fault_tolerance/actors.html). Errors come back as values: Ray would wrap them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias

from server import __version__
from server.bulk.engines import READ_AHEAD, LocalEngine, open_local
from server.bulk.examine import NOT_THE_CLIP, Read, read
from server.bulk.outcomes import NO_STAMP, Clip, Failure, Outcome, Work
from server.errors import ConfigurationError, GlimpseError, OptionError, WorkerCrashed
from server.settings import Settings, load
from server.types import ModelRef

_GROUPS = ("backend", "limits", "analysis", "workers")
_START_S = 120.0
_CONNECT_S = 10.0
_CLIP_RETRIES = 2
Begun: TypeAlias = tuple[str, ModelRef]


class Node:
    """What an actor is: an engine of its own, opened when it is first needed, which is after a restart as well."""

    def __init__(self, groups: Mapping[str, Mapping[str, Any]], work: Work) -> None:
        self._groups = groups
        self._work = work
        self._open = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._engine: LocalEngine | None = None

    async def begin(self) -> Begun | GlimpseError:
        """The version of Glimpse here, and the model that answers."""
        try:
            return __version__, (await self._opened()).model
        except GlimpseError as error:
            return error

    async def examine(self, clip: Clip, shipped: Read | None) -> Outcome | GlimpseError:
        """What becomes of a clip, or the error that ends the run."""
        try:
            return await (await self._opened()).examine(clip, shipped)
        except NOT_THE_CLIP as error:
            return error

    async def end(self) -> None:
        """Let the worker go."""
        await self._open.aclose()

    async def _opened(self) -> LocalEngine:
        async with self._opening:
            if self._engine is None:
                self._engine = await self._open.enter_async_context(open_local(load({}, **self._groups), self._work))
        return self._engine


class RayEngine:
    """Each of `nodes` works on one clip while it reads the next; with `ship`, this process reads them all."""

    def __init__(self, nodes: list[Any], model: ModelRef, work: Work, *, ship: bool) -> None:
        self.slots = len(nodes) * (1 + READ_AHEAD)
        self.model = model
        self._work = work
        self._ship = ship
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        for node in nodes * (1 + READ_AHEAD):
            self._free.put_nowait(node)

    async def examine(self, clip: Clip) -> Outcome:
        """What becomes of a clip. One that took its actor with it again and again has failed. Raises `NOT_THE_CLIP`."""
        from ray.exceptions import RayActorError

        shipped = await asyncio.to_thread(read, clip.path, self._work.most_bytes) if self._ship else None
        node = await self._free.get()
        try:
            answer = await node.examine.remote(clip, shipped)
        except RayActorError:
            lost = WorkerCrashed("The node that held the clip was lost, again and again.", stage="ray")
            return Outcome(clip.name, shipped[0] if shipped else NO_STAMP, failure=Failure.of(lost))
        finally:
            self._free.put_nowait(node)
        if isinstance(answer, GlimpseError):
            raise answer
        assert isinstance(answer, Outcome)
        return answer


@asynccontextmanager
async def open_ray(
    address: str | None, settings: Settings, work: Work, *, workers: int | None, ship: bool
) -> AsyncIterator[RayEngine]:
    """`workers` actors on the cluster at `address`, or at `RAY_ADDRESS`; by default one for each of its processors.

    The settings of backend, limits, analysis and workers go to the cluster, and no other: among the others are keys.
    Raises `OptionError` where no cluster is named, `ConfigurationError` where none answers or it lacks the extra
    `ray`, has another version of Glimpse, or gives no processor, and what `open_local` raises.
    """
    try:
        import ray
    except ImportError:
        message = "--engine ray needs the extra `ray`: pip install 'glimpse[ray]'"
        raise ConfigurationError(message) from None
    named = address or os.environ.get("RAY_ADDRESS")
    if not named:
        raise OptionError(
            "name the Ray cluster with --ray-address or RAY_ADDRESS; none is started", option="ray_address"
        )
    await _reached(named)
    try:
        # Ray's own log of this process would be on the disk; of the cluster's, whoever runs it decides.
        ray.init(address=named, configure_logging=False, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"no Ray cluster at {named}: {str(error).splitlines()[0]}") from None
    try:
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        groups = {name: getattr(settings, name).model_dump(mode="json") for name in _GROUPS}
        groups["workers"]["count"] = 1
        kind = ray.remote(Node).options(
            num_cpus=1, max_restarts=-1, max_task_retries=_CLIP_RETRIES, max_concurrency=2 + READ_AHEAD
        )
        nodes = await _begun([kind.remote(groups, work) for _ in range(count)])
        yield RayEngine([node for node, _ in nodes], nodes[0][1], work, ship=ship)
        await asyncio.gather(*(node.end.remote() for node, _ in nodes), return_exceptions=True)
    finally:
        ray.shutdown()


async def _reached(named: str) -> None:
    """Ray itself waits for minutes where nobody listens, and starts a cluster of its own for some words."""
    host, _, port = named.rpartition(":")
    if not host or "://" in named or not port.isdigit():
        raise OptionError(f"--ray-address {named}: give host:port of a cluster", option="ray_address")
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except OSError as error:
        raise ConfigurationError(f"no Ray cluster at {named}: {error.strerror or 'no answer'}") from None


async def _begun(nodes: list[Any]) -> list[tuple[Any, ModelRef]]:
    """The nodes that have a processor and could open their pipeline, all with the same model."""
    waiting = {asyncio.ensure_future(_answer(node)): node for node in nodes}
    done, late = await asyncio.wait(waiting, timeout=_START_S)
    for task in late:
        task.cancel()
    if failures := [error for task in done if (error := task.exception())]:
        raise failures[0]
    begun = []
    for task in done:
        version, model = task.result()
        if version != __version__:
            raise ConfigurationError(f"a node of the cluster has Glimpse {version}, this machine {__version__}")
        begun.append((waiting[task], model))
    if not begun:
        raise ConfigurationError(f"the Ray cluster had no free processor for {_START_S:g} s")
    models = {model for _, model in begun}
    if len(models) > 1:
        told = ", ".join(sorted(f"{model.name} version {model.version} ({model.backend})" for model in models))
        raise ConfigurationError(f"the nodes of the cluster do not have the same model: {told}")
    return begun


async def _answer(node: Any) -> Begun:
    answer = await node.begin.remote()
    if isinstance(answer, GlimpseError):
        raise answer
    version, model = answer
    return version, model

"""The engine of a cluster: tasks of Ray. Whichever worker gets one has a process do it, as on one machine."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import NodeDiedError, RayError, RayTaskError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from neuron_catalog.code import code_digest
from neuron_catalog.errors import RequestError, RequirementError, first_line
from neuron_catalog.storage.stores import is_url
from neuron_catalog.sweeping.destination import SWEEP
from neuron_catalog.sweeping.engine import Bounds, Lost, Order
from neuron_catalog.sweeping.jobs import Job, Outcome
from neuron_catalog.sweeping.local import TRY_AGAIN, LocalEngine
from neuron_catalog.version import __version__

PASSED_ON = ("NEURON_CATALOG_", "NEURON_CC_FLAGS", "XLA_FLAGS")
"""How variables begin that say what exports do. The workers get those of whoever began the sweep."""

WAITING_FOR_ONE = 2
"""Jobs given to the cluster for each that it can do at once: an autoscaler sees what waits."""

PROBE_SECONDS = 120.0
"""How long every machine of the cluster has to answer before the sweep begins."""

CONNECT_SECONDS = 10.0


class RayEngine:
    """The machines of a cluster; without an address those of `RAY_ADDRESS`, or of a cluster of its own."""

    def __init__(self, order: Order, workers: int | None, address: str | None) -> None:
        bounds = replace(order.bounds, cpus=order.bounds.cpus or 1)
        self._order, self._most, self._address = replace(order, bounds=bounds), workers, address
        self._begun: dict[ray.ObjectRef[Any], float] = {}

    def __enter__(self) -> RayEngine:
        _connect(self._address)
        try:
            self._probe()
        except BaseException:
            ray.shutdown()
            raise
        bounds = self._order.bounds
        self._task = ray.remote(_hand).options(
            num_cpus=bounds.cpus,
            memory=bounds.memory_bytes,
            resources={"neuron_cores": bounds.neuron_cores} if bounds.neuron_cores else None,
            max_retries=0,  # `drive` does that, and counts
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        # This ends the workers of the job. `ray.cancel` before it does so, too, but can abort this process
        # when a task ends meanwhile ("Tried to complete task that was not pending", Ray 2.60).
        ray.shutdown()

    def workers(self) -> int:
        """Return how many jobs the cluster can do at once, as it is now; 0 if no machine of it has what a job
        needs."""
        places = sum(_places(node["Resources"], self._order.bounds) for node in _machines())
        return min(places, self._most or places)

    def capacity(self) -> int:
        """Return how many jobs to hand over: more than it can do, unless it was said how many."""
        return self._most or WAITING_FOR_ONE * max(1, self.workers())

    def start(self, job: Job, attempt: int) -> ray.ObjectRef[Any]:
        """Hand a job over to the cluster."""
        ref = self._task.remote(job, attempt, self._order)
        self._begun[ref] = time.monotonic()
        return ref

    def next_ended(self) -> tuple[ray.ObjectRef[Any], Outcome | Lost]:
        """Wait for the next job that is done, or whose worker or machine is gone."""
        (ref,), _ = ray.wait([*self._begun])
        seconds = time.monotonic() - self._begun.pop(ref)
        try:
            return ref, ray.get(ref)
        except RayTaskError as error:
            return ref, Lost(f"Its worker failed: {first_line(error.cause)}", "", seconds)
        except RayError as error:
            cause = f"Its worker or machine went away ({type(error).__name__})."
            return ref, Lost(cause, TRY_AGAIN, seconds, again=True)

    def _probe(self) -> None:
        """Make sure that each machine has this package and sees the destination."""
        place = None if is_url(self._order.place) else Path(self._order.place, SWEEP)
        probes = [
            ray.remote(_seen)
            .options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            )
            .remote(place)
            for node in _machines()
        ]
        for probe in probes:
            try:
                ray.get(probe, timeout=PROBE_SECONDS).require_fit(self._order.place)
            except (NodeDiedError, TaskUnschedulableError):
                continue  # it went away meanwhile
            except RayError as error:
                raise RequestError(
                    f"A machine of the cluster could not begin: {first_line(_cause(error))}",
                    "Install the same neuron-catalog on every machine of it.",
                ) from error


def _machines() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _places(resources: Mapping[str, float], bounds: Bounds) -> int:
    """Return how many jobs fit into a machine."""
    needs = {"CPU": bounds.cpus, "memory": bounds.memory_bytes, "neuron_cores": bounds.neuron_cores}
    return min(int(resources.get(name, 0) // need) for name, need in needs.items() if need)


def _connect(address: str | None) -> None:
    where = address or os.environ.get("RAY_ADDRESS")
    try:
        if where and ":" in where:
            _require_listening(where)
        ray.init(
            address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": _passed_on()},
            include_dashboard=False,
        )
    except (RuntimeError, ConnectionError, ValueError, OSError) as error:
        told = " ".join(str(error).split()).rstrip(".")
        raise RequestError(
            f"Ray could not connect to {where or 'a cluster of its own'}: {told}.",
            "The cluster must run, with the same versions of Ray and Python; see: ray status",
        ) from error


def _require_listening(address: str) -> None:
    """Ray itself tries for minutes.

    Raises:
        OSError, ValueError: if nothing listens there, or it is no address.
    """
    if address.startswith("ray://"):
        raise ValueError("sweeps do not go through Ray Client; give the address of the cluster itself")
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise ValueError(f"{port!r} is no port")
    socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def _passed_on() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}


def _cause(error: RayError) -> BaseException:
    return getattr(error, "cause", None) or error


@dataclass(frozen=True)
class _Machine:
    """What a machine of the cluster says of itself."""

    host: str
    version: str
    code: str
    sees_destination: bool

    def require_fit(self, place: str) -> None:
        if (self.version, self.code) != (__version__, code_digest()):
            raise RequirementError(
                f"{self.host} has neuron-catalog {self.version}, and its code differs from that of this "
                f"machine, {__version__}.",
                "Install the same version on every machine of the cluster.",
            )
        if not self.sees_destination:
            raise RequestError(
                f"{self.host} does not see the folder {place}.",
                "Take a folder that all machines share, or an address in a store such as s3://bucket/folder.",
            )


def _seen(sweep_file: Path | None) -> _Machine:
    """Run on each machine before the sweep begins."""
    sees = sweep_file is None or sweep_file.is_file()
    return _Machine(socket.gethostname(), __version__, code_digest(), sees)


def _hand(job: Job, attempt: int, order: Order) -> Outcome | Lost:
    """Run in a worker of the cluster: have a process do the job, and wait for it.

    The worker keeps the process for its next job, unless that has NeuronCores: it would keep those, which
    Ray gives to the next who asks.
    """
    if not order.bounds.neuron_cores:
        return _done_by(_kept(order), job, attempt)
    with LocalEngine(order, workers=1) as engine:
        return _done_by(engine, job, attempt)


def _done_by(engine: LocalEngine, job: Job, attempt: int) -> Outcome | Lost:
    engine.start(job, attempt)
    return engine.next_ended()[1]


@lru_cache(maxsize=1)
def _kept(order: Order) -> LocalEngine:
    return LocalEngine(order, workers=1)

"""Checks of a cluster before a sweep begins on it, so that nothing hangs later."""

import socket
import sys
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import ray
from ray._common.usage import usage_lib

# These have no public names yet.
from ray._private import services
from ray._private.authentication.authentication_token_setup import (
    ensure_token_if_auth_enabled,
    maybe_enable_token_auth_if_token_available,
)
from ray._private.state import state as cluster_state
from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]
from ray.exceptions import AuthenticationError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.config.sweep import SweepConfig
from orchestrator.core import registry
from orchestrator.core.errors import UserError, named
from orchestrator.storage.path import parse

# Seconds for a cluster to answer, and for its nodes to start a worker that checks them.
_ANSWER, _LOOK = 5.0, 120.0
# Where their versions differ, workers fail late or compute other numbers.
_LIBRARIES = ("ray", "torch", "numpy", "pydantic")
_TOKEN = (
    "the cluster wants another token than this machine has; put the head's ~/.ray/auth_token on every node and on this "
    "machine, and export RAY_AUTH_MODE=token on each"
)
_UNITS = (("cpus_per_worker", "CPU"), ("gpus_per_worker", "GPU"))


def locate(address: str) -> str:
    """The cluster's `host:port`, after checking that it answers; Ray itself would try for a long time.

    Args:
        address: `host:port`, or `auto` for the cluster that `ray start` made this machine a part of. A Ray that a
            process started for itself, such as another sweep's, does not count: it ends with its process.

    Raises:
        UserError: nothing answers, the address is malformed, or `auto` finds no cluster or several.
    """
    if address == "auto":
        return _started_here()
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal():
        raise UserError(
            f"--address {address}: must be host:port of a cluster's head (by default port 6379) or auto; run the sweep "
            "on a node of the cluster, or send it there with `ray job submit`"
        )
    try:
        socket.create_connection((host, int(port)), _ANSWER).close()
    except OSError as error:
        raise UserError(
            f"--address {address}: no Ray cluster answers there ({error}); start one with `ray start --head "
            "--include-dashboard=true`, or leave --address out (and RAY_ADDRESS unset) to use this machine alone"
        ) from error
    return address


def _started_here() -> str:
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        ensure_token_if_auth_enabled(create_token_if_missing=False)  # otherwise Ray's library aborts the process
    except AuthenticationError as error:
        raise UserError(f"--address auto: {_TOKEN}") from error
    found = sorted(address for address in services.find_gcs_addresses() if not is_private(address))
    latest = services.find_bootstrap_address(None)
    if latest in found:
        return latest
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"--address auto: this machine is part of several clusters: {', '.join(found)}; name one of them"
        )
    raise UserError(
        "--address auto: this machine belongs to no Ray cluster (one that another sweep started for itself does not "
        "count); start one with `ray start --head --include-dashboard=true`, or leave --address out"
    )


def is_private(address: str) -> bool:
    """Whether a process started the Ray at an address for itself by `ray.init`, or nothing answers there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _ANSWER).close()
        return bool(usage_lib.is_ray_init_cluster(GcsClient(address=address)))
    except OSError:
        return True
    except AuthenticationError:
        return False  # `require_token` says what to do


def require_token(address: str) -> None:
    """Reject a cluster that requires a token which this machine does not have; `ray.init` would try for half a minute.

    If no setting says whether tokens are used, an existing one is, as by `ray start --head`.

    Raises:
        UserError: the token is missing or a different one.
    """
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        ensure_token_if_auth_enabled(create_token_if_missing=False)  # otherwise Ray's library aborts the process
        if address != "auto":
            GcsClient(address=address)
    except AuthenticationError as error:
        raise UserError(f"--address {address}: {_TOKEN}") from error


def advice(error: Exception) -> str:
    """Why a cluster cannot be joined and what to do, in one sentence."""
    text = str(error)
    if isinstance(error, AuthenticationError):
        return _TOKEN
    if text.startswith("Version mismatch"):
        return f"{' '.join(text.split())}; install the same versions everywhere"
    if "address" in text and isinstance(error, ConnectionError):
        return "this machine belongs to none; start one with `ray start --head --include-dashboard=true`"
    return named(error)


def require_room(sweep: SweepConfig) -> None:
    """Reject workers that fit on no node, or not on all nodes together.

    Raises:
        UserError: naming the field that is too large.
    """
    if cluster_state.get_max_resources_from_cluster_config():
        return  # an autoscaling cluster starts nodes as needed
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    where = "on this machine" if len(nodes) == 1 else "on the largest node"
    for field, unit in _UNITS:
        wanted, there = getattr(sweep, field), max(node.get(unit, 0) for node in nodes)
        if wanted > there:
            raise UserError(f"sweep.{field} <= {there:g} must hold {where}, got {wanted:g}")
    room = sum(_room(node, sweep) for node in nodes)
    if sweep.workers > room:
        where = "on this machine" if len(nodes) == 1 else f"on these {len(nodes)} nodes"
        needs = ", ".join(f"sweep.{field} = {getattr(sweep, field):g}" for field, _ in _UNITS)
        raise UserError(f"sweep.workers <= {room} must hold {where} with {needs}, got {sweep.workers}")


def require_alike(storage: str) -> None:
    """Reject a cluster with a node that has other versions than this machine, or does not see the sweep's folder.

    Args:
        storage: the sweep's folder.

    Raises:
        UserError: naming the node and what is different there.
    """
    mark = f".seen-by-all-nodes-{uuid.uuid4().hex}"
    written = parse(storage) / mark
    written.write("this file is looked for on every node, and removed\n")
    try:
        here = _look(str(written))
        for address, there in _looks(str(written)).items():
            if not there["sees"]:
                raise UserError(
                    f"--storage: node {address} does not see {storage}; name a folder that all nodes share (NFS), or a "
                    "bucket (s3://...)"
                )
            for name, version_here in here["versions"].items():
                if there["versions"][name] != version_here:
                    raise UserError(
                        f"node {address} has {name} {there['versions'][name]} where this machine has {version_here}; "
                        "install the same version on every node"
                    )
    finally:
        written.unlink(missing_ok=True)


def code() -> list[str]:
    """The packages that workers import: this project's, and those of the user's own components."""
    names = ["augment", "methods", "orchestrator", *registry.user_packages()]
    return [_source(name) for name in dict.fromkeys(names)]


def _room(node: Mapping[str, float], sweep: SweepConfig) -> int:
    return min(int(node.get(unit, 0) / needed) for field, unit in _UNITS if (needed := getattr(sweep, field)) > 0)


def _looks(file: str) -> dict[str, dict[str, Any]]:
    """The result of `_look` on every node, by its address."""
    look = ray.remote(num_cpus=0)(_look)
    answers = {
        f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}": look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(file)
        for node in ray.nodes()
        if node["Alive"]
    }
    seen = {}
    for address, answer in answers.items():
        try:
            seen[address] = ray.get(answer, timeout=_LOOK)
        except RayError as error:
            raise UserError(
                f"node {address} does not answer ({named(error)}); repair it or remove it from the cluster"
            ) from error
    return seen


def _look(file: str) -> dict[str, Any]:
    """The versions on this node, and whether it sees a file."""
    versions = {"Python": ".".join(map(str, sys.version_info[:2]))} | {name: version(name) for name in _LIBRARIES}
    return {"versions": versions, "sees": parse(file).exists()}


def _source(name: str) -> str:
    spec = find_spec(name)
    assert spec is not None, f"{name} was imported from somewhere"
    return spec.submodule_search_locations[0] if spec.submodule_search_locations else str(spec.origin)

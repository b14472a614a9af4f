"""The command about this machine: what is installed, which devices there are, what they are good for."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import typer

from neuron_catalog.cli.context import Json, catalog_of, print_columns, print_json
from neuron_catalog.cli.printing import say
from neuron_catalog.version import __version__

if TYPE_CHECKING:
    from neuron_catalog.sdk.machine import Machine

PACKAGES = (
    "torch",
    "transformers",
    "pydantic",
    "safetensors",
    "huggingface_hub",
    "diffusers",
    "peft",
    "torch-neuronx",
    "neuronx-cc",
)

SDK_PACKAGES = ("torch-neuronx", "neuronx-cc")
"""Those whose versions tell the SDK that they are of."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("doctor")(doctor)


def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Show versions, catalog folders, Neuron devices, and which backends are available here and why not."""
    from neuron_catalog.sdk.installed import installed
    from neuron_catalog.sdk.machine import this_machine

    folders = [str(folder) for folder in catalog_of(context).folders]
    own = {"neuron-catalog": __version__, "python": platform.python_version()}
    versions = {**own, **{name: installed(name) or "not installed" for name in PACKAGES}}
    machine, sdk = this_machine(), _sdk_releases()
    backends = _backend_states()
    if as_json:
        device = {
            "devices": machine.devices,
            "instance": machine.instance or None,
            "target": machine.target or None,
            "sdk": sdk,
        }
        print_json({"versions": versions, "catalog": folders, "neuron": device, "backends": backends})
        return
    print_columns(list(versions.items()))
    _say_all("catalog folders, the front-most first:", folders)
    _say_all("Neuron device:", [_told_of(machine), *_told_of_sdk(sdk)])
    say("backends:")
    print_columns([(f"  {name}", state) for name, state in backends.items()])


def _say_all(title: str, lines: list[str]) -> None:
    say(title)
    for line in lines:
        say(f"  {line}")


def _told_of(machine: Machine) -> str:
    """Return the devices of this machine and what is compiled for them, in a sentence."""
    if not machine.devices:
        return "none"
    on = f"{machine.devices} on {machine.instance or 'an instance whose type the machine does not tell'}"
    if machine.target:
        return f"{on}: exports are compiled for {machine.target}, unless --target names another"
    if machine.is_inf1:
        return f"{on}: Inf1 is no longer supported by AWS; see the backend neuron below"
    return f"{on}: name what to compile for by --target"


def _sdk_releases() -> dict[str, str | None]:
    """Return installed package → the SDK that it is of, or None if that is not known."""
    from neuron_catalog.sdk.installed import installed
    from neuron_catalog.sdk.releases import release_of

    versions = {name: version for name in SDK_PACKAGES if (version := installed(name))}
    found = {name: release_of(name, version) for name, version in versions.items()}
    return {name: release.sdk if release else None for name, release in found.items()}


def _told_of_sdk(sdk: dict[str, str | None]) -> list[str]:
    """Return which SDK each package is of, and that it is to be one."""
    lines = [
        f"{name} is of SDK {release}" if release else f"{name} is of no SDK that neuron-catalog knows"
        for name, release in sdk.items()
    ]
    apart = len(set(sdk.values())) > 1 and None not in sdk.values()
    return [*lines, *["the two were not released together: install those of one SDK"] * apart]


def _backend_states() -> dict[str, str]:
    """Return backend → "available", or why it is not, or not wholly."""
    try:
        from neuron_catalog.exporting.backends import BACKENDS
    except ModuleNotFoundError as error:
        return {"all": f"not available: {error.name} is not installed"}
    states = {}
    for name, backend in BACKENDS.items():
        if reason := backend.unavailable():
            states[name] = f"not available: {reason}"
        elif reason := backend.unable_to_run():
            states[name] = f"available to compile, not to run what it compiled: {reason}"
        else:
            states[name] = "available"
    return states

"""Which module has which commands. It is imported when one of its commands is called, or for the help."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

MODULES = {
    "building": ("export", "plan"),
    "lowering": ("lower",),
    "proving": ("selftest", "validate"),
    "listing": ("list", "list-tasks", "show", "check"),
    "authoring": ("new", "explain", "outdated"),
    "artifacts": ("verify", "inspect", "sign", "upload", "download"),
    "caching": ("cache",),
    "sweeping": ("sweep",),
    "doctor": ("doctor",),
}
"""Module → the commands that its `register` adds, in the order of the help. A test holds both together."""


class CommandGroup(TyperGroup):
    """All commands. To import and declare them all takes as long as an empty Python takes to start."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        del ctx
        return [name for names in MODULES.values() for name in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command called so; for an unknown one all are loaded, to suggest what was meant."""
        del ctx
        word = cmd_name.replace("_", "-")
        if word not in self.commands:
            homes = [module for module, names in MODULES.items() if word in names]
            for module in homes or MODULES:
                part = typer.Typer()
                importlib.import_module(f"neuron_catalog.cli.{module}").register(part)
                self.commands.update(get_group(part).commands)
        return self.commands.get(cmd_name)

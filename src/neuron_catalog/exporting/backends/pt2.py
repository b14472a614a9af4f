"""Several exported programs in one archive of torch (PT2), with one set of weights.

`package_pt2` takes several programs but stores the weights of each again. Here one program alone, called
`model`, has them: `torch.export.load` reads that one from the file as it is. The others are written with
outlines, which have the shapes of the weights and one number each, and get the weights back when they are
read. Tied weights are one record.

A PT2 archive may hold pickles: tensors of unusual classes, objects, example inputs. `torch.export.load`
unpickles them, the example inputs too if they cannot be read as plain tensors. None is needed here, so none
is written, and a file with one is refused before torch reads it. A forged file is as dangerous as any: torch
makes source code of the graph that it reads.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from torch import Tensor, nn
from torch.export import ExportedProgram

WHOLE = "model"
"""What the program with the weights is called, as `torch.export.save` would call it."""
NAMES = "graphs.json"
"""The extra file that says which graph each program is."""

PLAIN = re.compile(
    r"[^/]+/(\.?data/(version|serialization_id)|archive_format|archive_version|version|\.format_version|byteorder"
    r"|\.storage_alignment|models/[^/]+\.json|extra/[^/]+"
    r"|data/weights/(weight_\d+|[^/]+_config\.json)|data/constants/(tensor_\d+|[^/]+_config\.json))"
)
"""Records of an archive that are read as numbers or text."""
EXAMPLES = re.compile(r"[^/]+/data/sample_inputs/[^/]+\.pt")
"""Records of example inputs, which are empty."""


def write(programs: Mapping[str, ExportedProgram], path: Path) -> None:
    """Write programs of one module; the weights go with the last.

    Raises:
        RuntimeError: if torch cannot put one into words.
        OSError: if it cannot be written.
    """
    from torch.export.pt2_archive._package import package_pt2  # it takes as long to import as transformers

    *others, whole = programs
    packed = {WHOLE: whole, **{f"{WHOLE}_{number}": name for number, name in enumerate(others)}}
    with ExitStack() as stack:
        for name in others:
            stack.enter_context(_outlined(programs[name]))
        package_pt2(
            str(path),
            exported_programs={key: programs[name] for key, name in packed.items()},
            extra_files={NAMES: json.dumps(packed)},
        )


def read(path: Path) -> dict[str, ExportedProgram]:
    """Read programs; they share their weights.

    Raises:
        ValueError: if it is no such archive.
        RuntimeError: if torch cannot read it.
        OSError: if there is no such file.
    """
    from torch.export.pt2_archive._package import load_pt2

    _require_plain(path)
    contents = load_pt2(str(path))
    packed: dict[str, str] = json.loads(contents.extra_files[NAMES])
    programs = {name: contents.exported_programs[key] for key, name in packed.items()}
    weights = programs[packed[WHOLE]].state_dict
    for program in programs.values():
        program.state_dict.update(weights)
    return programs


@contextmanager
def _outlined(program: ExportedProgram) -> Iterator[None]:
    """Have a program hold outlines of its weights for a while."""
    weights = dict(program.state_dict)
    program.state_dict.update({name: _outline(value) for name, value in weights.items()})
    try:
        yield
    finally:
        program.state_dict.update(weights)


def _outline(value: Tensor) -> Tensor:
    """Return a tensor of the same shape that takes the room of one number."""
    outline = value.detach().new_zeros(()).expand(value.shape)
    return nn.Parameter(outline, value.requires_grad) if isinstance(value, nn.Parameter) else outline


def _require_plain(path: Path) -> None:
    """Raise if there is a pickle in an archive.

    Raises:
        ValueError: naming it.
        OSError: if there is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                _require_plain_record(archive, entry)
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


def _require_plain_record(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if EXAMPLES.fullmatch(name) and not entry.file_size:
        return
    if not PLAIN.fullmatch(name):
        raise ValueError(f"it holds {name}, which may be a pickle")
    if name.endswith("_config.json"):
        records = json.loads(archive.read(entry))["config"]
        if pickled := [each for each, record in records.items() if record["use_pickle"]]:
            raise ValueError(f"it holds {pickled[0]} as a pickle")

"""What each code of a finding means: the source of docs/codes/ and of the rules in SARIF reports.

Nothing imports this to read or check a catalog. A code keeps its meaning for ever; one that is no longer used
is not given to something else. NC1xx are about a file's text, NC2xx about one file's content, NC3xx about
names in other files, NC4xx about evidence.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """One kind of mistake, in words that fit every finding with this code."""

    title: str
    """A few words, without a full stop."""
    wrong: str
    """What is wrong, and why it is refused."""
    mend: str
    """What to do about it."""


CODES = {
    "NC100": Code(
        "the file cannot be read",
        "There is no such file, or you may not read it. The message is the operating system's.",
        "Check the spelling of the path, and the permissions of the file and its folders.",
    ),
    "NC101": Code(
        "the file is too large",
        "A catalog file has at most 64 KiB. All shipped ones are far smaller: more is a file of another "
        "kind.",
        "Split it: one file for each architecture or family.",
    ),
    "NC102": Code(
        "the file is not UTF-8",
        "The bytes from the named one on are no UTF-8. It is counted from 0.",
        "Save the file as UTF-8 in your editor.",
    ),
    "NC103": Code(
        "the text is not valid YAML",
        "PyYAML cannot parse the text; the message is its own. The place is where the parser gave up, "
        "which is often a line or more behind the mistake: behind a quote or bracket that was never "
        "closed.",
        "Quote text that contains `: `, ` #` or begins with a special character; indent with spaces; close "
        "quotes and brackets.",
    ),
    "NC104": Code(
        "the file does not hold one document",
        "The file is empty but for comments, or `---` begins a second document in it.",
        "Write one document, or use a file each.",
    ),
    "NC105": Code(
        "an anchor, an alias or a merge key",
        "`&name`, `*name` and `<<` make what a key holds depend on other lines. A catalog has no "
        "inheritance: what a line says can be found with grep.",
        "Write the value where it is needed, even if that repeats it.",
    ),
    "NC106": Code(
        "a tag",
        "A tag such as `!!python/object` tells a reader to make something else of a value than it is. "
        "Files of a catalog hold data only.",
        "Remove the tag. Quote the value if it is text that looks like something else.",
    ),
    "NC107": Code(
        "nested too deeply",
        "A value lies more than 20 levels deep. Nothing in the format needs more than a handful.",
        "Look for a bracket or an indentation too many, or flatten the value.",
    ),
    "NC108": Code(
        "a key stands twice",
        "The same mapping has the key twice. Most readers of YAML would silently keep the second value.",
        "Keep one of the two. The message names the line of the first.",
    ),
    "NC109": Code(
        "a key is not text",
        "All keys of a catalog are text. This one is a number, a constant, a list or a mapping.",
        'Quote it: `"0": …`.',
    ),
    "NC110": Code(
        "a value that readers of YAML understand differently",
        "Without quotes, `no`, `1e-3`, `12:30`, `0x1F` or a date is text in one version of YAML and "
        "something else in another, and so is an empty value to the eye.",
        "Write `true`, `false`, `null` or a plain decimal number such as `1.0e-3`, or quote it if it is "
        "text. `neuron-catalog check --fix` does so where all versions agree, as for `True` and `.5`; what "
        "else was meant only the author knows.",
    ),
    "NC111": Code(
        "the file cannot be rewritten",
        "`neuron-catalog check --fix` reads what it is about to write. It would not have the same values "
        "and comments as the file, or could not be put in its place. The file was left as it is, and is as "
        "good as before.",
        "Write the named value in another way, or make the folder writable. Without `--fix` this code does "
        "not occur.",
    ),
    "NC200": Code(
        "the file belongs to no catalog",
        "What a file may say follows from its place: `architectures/*.yaml`, `families/*.yaml`, "
        "`components/*.yaml`, `pipelines/*.yaml`, `tasks.yaml` or `normalized_configs.yaml`.",
        "Move the file there, or check its name: the suffix is `.yaml`.",
    ),
    "NC201": Code(
        "a key is missing",
        "The format requires a key in this mapping. If one that is there was misspelt, only NC202 tells so.",
        "Add the key. The description of the catalog format says what it means.",
    ),
    "NC202": Code(
        "an unknown key",
        "The format has no such key here. Keys that nobody reads would rot, so they are refused.",
        "The message names similar keys, or all that may stand here. The right key may belong a level "
        "higher or lower.",
    ),
    "NC203": Code(
        "a value of the wrong type or form",
        "The key is right, and its value has another type, spelling or range than the format allows. The "
        "path before the colon leads to the value.",
        "Write what the message asks for. Numbers and constants in quotes are text, and text without "
        "quotes may be a number.",
    ),
    "NC301": Code(
        "the file is named differently from what it defines",
        "An architecture, family, component or pipeline is found by the name of its file, so that name must "
        "be the one inside.",
        "Rename the file as the message says, or correct the name inside.",
    ),
    "NC302": Code(
        "an unknown name",
        "No file of the catalog defines this task, family, component, normalized config, input, output, axis "
        "or dim; or the family does, and no task of this architecture has it. Components and pipelines have "
        "no tasks, so they know none.",
        "The message names similar names, or all that are known. What is new is defined first: an input, "
        "output or axis in the family, a config key in `normalized_configs.yaml`.",
    ),
    "NC303": Code(
        "an output that the task cannot have",
        "The family gives this output shapes for some tasks, and this task is not among them; or the "
        "output is one that the caller asks for with an option.",
        "Select an output that has a shape for the task, or add the shape to the family. Leave out "
        "optional outputs: they need no selection.",
    ),
    "NC304": Code(
        "the mandatory axes are not those in use",
        "`mandatory_axes` lists exactly the axes that a selected tensor has and that have no default. This "
        "one is listed and unused, or used and not listed. In a pipeline, `bind` gives each part a size for "
        "all of its axes that have no default, and each axis of the pipeline is bound by some part.",
        "Add or remove the axis.",
    ),
    "NC305": Code(
        "a fill lacks the key that it needs",
        "`random_ids` needs to know below which dim, and `padded_mask` which inputs it masks.",
        "Add `below: vocab_size` or `masks: [input_ids]` with the right names.",
    ),
    "NC306": Code(
        "a condition that never or always holds",
        "No task of this architecture can make the condition true, or every task does: it says nothing, "
        "and hides a typo. So does a use of a pipeline for an option that decides nothing about its parts.",
        "Correct the task or option, or remove the condition.",
    ),
    "NC307": Code(
        "the tiny model lacks a size",
        "The tiny model is built and run without questions, so it brings a size for each mandatory axis. A "
        "tiny pipeline brings one for each axis without a default; parts that are read from one folder have "
        "one config.",
        "Add the axis to `tiny.axes`, or the folder to `tiny.configs`.",
    ),
    "NC308": Code(
        "a looser tolerance without a reason",
        "`atol` is larger than the family's. A tolerance is loosened for a measured difference, never for "
        "peace.",
        "Add `atol_reason` with the difference and where it was measured, or remove `atol`.",
    ),
    "NC309": Code(
        "no version bound",
        "pip would not understand these versions of the package.",
        'Write it as in a requirements file: `">=5.9"` or `">=5.9,<6"`.',
    ),
    "NC310": Code(
        "a name that is taken",
        "The word is already a task or a synonym of one, or the name of a component or pipeline: commands "
        "and files of evidence know things by their name alone. Within a pipeline, a class runs one use, and "
        "of several parts all but the first are named with a number.",
        "Choose another name, or remove the synonym.",
    ),
    "NC311": Code(
        "an axis or limit that says too little or too much",
        "An axis has `suggest`, a `default`, or a default that a config gives with a suggestion for those "
        "that do not; a fixed one has a dim as default. A limit has either `at_most` or `exactly`.",
        "Add the missing key or remove the one too many.",
    ),
    "NC312": Code(
        "a name is listed twice",
        "A list says what there is, and in which order. Twice the same name is a slip.",
        "Keep one of them, at the right place.",
    ),
    "NC313": Code(
        "a size that the config does not give",
        "The shape of a selected tensor, or the binding of a part, needs a size that is no axis and that the "
        "normalized config has no path for, or a path into a folder that the pipeline does not have.",
        "Add the key with its path to the normalized config, or name another normalized config.",
    ),
    "NC314": Code(
        "a name, task or family that is meant for others",
        "An architecture of another library than transformers is found by a name that begins with the "
        "library's. Tasks of a library belong to its own architectures. A family with `for_components: true` "
        "is for components, and any other for architectures.",
        "Rename the architecture, correct `library` or `family`, or remove the task.",
    ),
    "NC400": Code(
        "a line of evidence that is no recorded run",
        "Files in `evidence/` are written by `neuron-catalog selftest --record` and by nothing else. This "
        "line was edited, or was written by another version.",
        "Remove the line, and record the run again.",
    ),
}

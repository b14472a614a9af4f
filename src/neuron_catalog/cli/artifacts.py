"""Commands about artifacts: verify, inspect, sign, upload, download."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from neuron_catalog.cli.context import Address, Json, print_columns, print_json
from neuron_catalog.cli.pipelines import print_composition
from neuron_catalog.cli.printing import MARKS, fit_line, print_plan, say, sizes

Artifact = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="A folder written by export.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("verify")(verify)
    app.command("inspect")(inspect)
    app.command("sign")(sign)
    app.command("upload")(upload)
    app.command("download")(download)


def verify(
    artifact: Artifact,
    public_key: Annotated[
        Path | None, typer.Option("--public_key", metavar="FILE", help="The key it must be signed with.")
    ] = None,
    identity: Annotated[
        str | None, typer.Option("--identity", metavar="WHO", help="Who must have signed it, by Sigstore.")
    ] = None,
    identity_provider: Annotated[
        str | None, typer.Option("--identity_provider", metavar="URL", help="Who knows that identity.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold every file of an artifact to its digest, and the whole to a signature if one is asked for."""
    from neuron_catalog.composition import intact_files
    from neuron_catalog.signing import SIGNATURE, Signer, require_signed

    files = intact_files(artifact)
    if as_json:
        print_json({name: record.model_dump() for name, record in files.items()})
    else:
        say(f"{len(files)} files are as they were exported.")
    asked = public_key or identity or identity_provider
    if asked:
        signer = Signer(public_key, identity, identity_provider)
        require_signed(artifact, signer)
    if not as_json and asked:
        say(f"Signed by {signer}; nothing was changed, added or removed since. Its card is not covered.")
    elif not as_json and (artifact / SIGNATURE).is_file():
        say("It is signed; --public_key or --identity tells by whom.")


def inspect(artifact: Artifact, as_json: Json = False) -> None:
    """Show what an artifact is, from its manifest alone; the graph is not loaded."""
    from neuron_catalog.composition import Composition, is_composition
    from neuron_catalog.manifest import Manifest

    composed = is_composition(artifact)
    told = Composition.read(artifact) if composed else Manifest.read(artifact)
    if as_json:
        print_json(told.model_dump(mode="json"))
        return
    if isinstance(told, Composition):
        print_composition(told, artifact)
        return
    manifest = told
    print_plan(manifest.plan)
    source, backend = manifest.source, manifest.backend
    weights = f"{source.weights_bytes / 1e6:.2f} MB, sha256 {source.weights_sha256[:16]}…"
    facts = [f"revision {source.revision}"] * bool(source.revision)
    facts += [f"seed {source.seed}"] * (source.seed is not None)
    say(f"source: {source.model}" + (f" ({', '.join(facts)})" if facts else ""))
    say(f"weights: {weights}")
    for names in source.tied_weights:
        say(f"tied: {' = '.join(names)}")
    versions = ", ".join(f"{name} {version}" for name, version in backend.versions.items())
    say(f"backend: {backend.name} ({versions}), exported by neuron-catalog {manifest.neuron_catalog}")
    for graph in manifest.graphs:
        say(f"checks of the graph for {sizes(graph.plan)}:")
        for check in graph.checks:
            say(f"  [{MARKS[check.status]}] {check.name}: {check.detail}")
        say("smaller inputs:")
        for fit in graph.fits:
            say(f"  [{MARKS['passed' if fit.filled else 'not_run']}] {fit_line(fit)}")
    if manifest.parts:
        say("functions:")
        print_columns([(f"  {part.name}", f"keeps {len(part.states)} states") for part in manifest.parts])
    say("files:")
    print_columns([(f"  {n}", f"{f.bytes} bytes", f.sha256[:16] + "…") for n, f in manifest.files.items()])


def sign(
    artifact: Artifact,
    private_key: Annotated[
        Path | None,
        typer.Option("--private_key", metavar="FILE", help="An EC key; without one, Sigstore."),
    ] = None,
) -> None:
    """Sign an artifact, with a key or by logging in to Sigstore."""
    from neuron_catalog.signing import sign

    say(f"Wrote {sign(artifact, private_key)}.")


def upload(
    artifact: Artifact,
    url: Address,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an artifact that is there.")
    ] = False,
) -> None:
    """Write an artifact to a store of objects. `from_pretrained` takes the address."""
    from neuron_catalog.transfer import upload_artifact

    upload_artifact(artifact, url, overwrite=overwrite)
    say(f'Wrote {artifact} to {url}. Load it in Python with: NeuronAutoModel.from_pretrained("{url}")')


def download(
    url: Address, out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")]
) -> None:
    """Bring an artifact of a store into a folder, and hold every file to its digest."""
    from neuron_catalog.storage.publish import publication
    from neuron_catalog.transfer import downloaded_artifact

    with publication(out) as folder:
        shutil.copytree(downloaded_artifact(url), folder, dirs_exist_ok=True)
    say(f"Wrote {url} to {out}.")

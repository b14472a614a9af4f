"""The catalog ships inside the wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from neuron_catalog.catalog.index import load_catalog

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_wheel_brings_the_whole_catalog_and_works_without_the_checkout(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("neuron_catalog-*.whl")
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    templates = {path.name for path in (ROOT / "src/neuron_catalog/exporting/templates").iterdir()}
    assert {path.name for path in installed.glob("neuron_catalog/exporting/templates/*")} == templates
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from neuron_catalog.catalog.folders import shipped_folder\n"
        "from neuron_catalog.catalog.index import load_catalog\n"
        "catalog = load_catalog()\n"
        "assert shipped_folder().name == '_catalog', shipped_folder()\n"
        "assert catalog.check() == ()\n"
        "from neuron_catalog.sdk import compiler_errors, operators, releases\n"
        "assert compiler_errors.__file__.startswith(sys.path[0]), compiler_errors.__file__\n"
        "assert compiler_errors.compiler_errors() and operators.operators() and releases.releases()\n"
        "from neuron_catalog.catalog.support import support_page\n"
        "from neuron_catalog.pages.explorer import page_text\n"
        "assert 'role=\"treegrid\"' in page_text(support_page(catalog, 1e-5, ''))\n"
        "print(*catalog.architectures)"
    )
    command = [sys.executable, "-c", script]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert listed.stdout.split() == list(load_catalog().architectures)

"""Which SDK has what, and what the compiler compiles for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from neuron_catalog.sdk.releases import (
    PACKAGES,
    announcements,
    last_with,
    python_supported,
    release_of,
    releases,
    targets,
)

SHIPPED = [
    (package, version, release.sdk)
    for release in releases().values()
    for package in PACKAGES
    for version in release.versions(package)
]


def test_releases_and_announcements_stand_in_the_order_of_time():
    found = list(releases().values())
    assert [each.sdk for each in found] == list(releases())
    assert found == sorted(found, key=lambda each: Version(each.sdk))
    assert found == sorted(found, key=lambda each: each.date)
    assert list(announcements()) == sorted(announcements(), key=lambda each: each.date)
    for each in announcements():
        assert each.sdk in releases()
        assert each.says.endswith(".")


def test_torch_neuronx_begins_with_the_version_of_torch_and_grows_from_sdk_to_sdk():
    for package in PACKAGES:
        last = Version("0")
        for release in releases().values():
            for version in release.versions(package):
                assert Version(version) >= last or package != "neuronx-cc"
                last = Version(version)
    assert releases()["2.31.1"].torch == ("2.9",)
    assert releases()["2.28.0"].torch == ("2.7", "2.8", "2.9")
    assert releases()["2.33.0"].torch == ()


def test_the_last_sdk_that_traces_is_2_31():
    assert last_with("torch-neuronx").sdk == "2.31.1"
    assert last_with("torch-neuronx").torch_neuronx == ("2.9.0.2.15.32035",)
    assert last_with("neuronx-cc").sdk == "2.33.0"
    with pytest.raises(KeyError):
        last_with("torch")


@pytest.mark.parametrize(("package", "version", "sdk"), SHIPPED)
def test_a_version_belongs_to_the_first_sdk_that_shipped_it(package, version, sdk):
    for spelling in (version, f"{version}+6f180f47"):
        found = release_of(package, spelling)
        assert version in found.versions(package)
        assert Version(found.sdk) <= Version(sdk)
        assert Version(found.sdk).release[:2] == Version(sdk).release[:2]


@pytest.mark.parametrize("version", ["2.14.3.0", "2.14.3.0.1234+abc", "2.13.3.0.9"])
def test_torchneuron_is_found_under_the_name_that_it_shares(version):
    assert release_of("torch-neuronx", version).sdk == "2.33.0"
    assert release_of("neuronx-cc", version) is None


@given(st.sampled_from(sorted(PACKAGES)), st.text(max_size=20) | st.from_regex(r"\A\d+(\.\d+){0,6}\Z"))
def test_other_versions_belong_to_no_sdk(package, version):
    found = release_of(package, version)
    assert found is None or re.match(r"\s*v?2|\s*v?3", version)


def test_versions_are_compared_as_pip_does():
    assert release_of("neuronx-cc", "2.26.6360").sdk == "2.31.0"
    assert release_of("neuronx-cc", "2.26.6360.0.dev1") is None


def test_a_package_of_others_is_a_mistake():
    with pytest.raises(KeyError):
        release_of("torch", "2.9.0")


@pytest.mark.parametrize(
    ("version", "supported"),
    [("3.10", False), ("3.11", True), ("3.12.3", True), ("3.13", True), ("3.14.0", False), ("3.1", False)],
)
def test_python_is_that_of_the_last_sdk_that_traces(version, supported):
    assert python_supported(version) is supported


def test_the_oldest_supported_python_is_that_of_this_package():
    assert last_with("torch-neuronx").python[0] in SpecifierSet(">=3.11")


def test_targets():
    assert {name: each.neuroncore for name, each in targets().items()} == {
        "inf2": 2,
        "trn1": 2,
        "trn1n": 2,
        "trn2": 3,
        "trn3": 4,
    }
    assert [name for name, each in targets().items() if not each.listed] == ["trn3"]
    for name, each in targets().items():
        assert each.name == name == each.instances.lower()


def test_nothing_that_is_returned_can_be_changed():
    for found in (releases(), targets()):
        with pytest.raises(TypeError):
            found["2.99.0"] = None

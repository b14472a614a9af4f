"""What the reader keeps and refuses beyond tests/bad_catalog/yaml: files that cannot lie in a repository."""

import pytest

from neuron_catalog.catalog.source import MAX_BYTES, MAX_DEPTH, read_yaml
from neuron_catalog.errors import CatalogError


@pytest.fixture
def read(tmp_path):
    def call(content):
        path = tmp_path / "file.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_yaml(path)

    return call


def only_finding(caught):
    (finding,) = caught.value.findings
    return finding


def test_values_become_plain_data(read):
    text = "a: [1, -2, 0.5, 1.0e-3, true, false, null, '1', word]\nb: {c: \"two words\"}\n"
    found = read(text).value
    assert found == {"a": [1, -2, 0.5, 0.001, True, False, None, "1", "word"], "b": {"c": "two words"}}
    assert [type(item) for item in found["a"]] == [int, int, float, float, bool, bool, type(None), str, str]


def test_block_text_stays_text(read):
    assert read("a: |\n  no\nb: >-\n  1e-3\n").value == {"a": "no\n", "b": "1e-3"}


def test_a_quoted_merge_sign_is_a_key_like_others(read):
    assert read('"<<": 1\n').value == {"<<": 1}


def test_an_empty_quoted_text_is_text(read):
    assert read("a: ''\n").value == {"a": ""}


def test_marks_point_at_keys_and_items(read):
    marks = read("a:\n  - b\n  - {c: 1, d: [x]}\n").marks
    assert marks[()] == (1, 1)
    assert marks["a",] == (1, 1)
    assert marks["a", 0] == (2, 5)
    assert marks["a", 1] == (3, 5)
    assert marks["a", 1, "c"] == (3, 6)
    assert marks["a", 1, "d", 0] == (3, 16)


def test_marks_count_characters_and_not_bytes(read):
    assert read("{größe: 1, x: 2}").marks["x",] == (1, 12)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_counted_for_each_kind_of_line_end(read, newline):
    assert read(newline.join(["a: 1", "b: 2", "c: 3"])).marks["c",] == (3, 1)


def test_a_byte_order_mark_is_no_part_of_the_first_key(read):
    assert read(b"\xef\xbb\xbfa: 1\n").value == {"a": 1}


def test_a_finding_points_at_the_nearest_value_that_exists(read):
    source = read("a:\n  b: [x]\n")
    found = source.finding(("a", "b", 7, "missing"), "NC999", "message", "fix")
    assert (found.line, found.column) == (2, 3)
    assert str(found) == f"{source.path}:2:3: NC999 message; fix"


def test_largest_file_is_read(read):
    text = b"a: 1\n#"
    assert read(text + b"x" * (MAX_BYTES - len(text))).value == {"a": 1}


def test_larger_file_is_refused(read):
    with pytest.raises(CatalogError) as caught:
        read(b"#" * (MAX_BYTES + 1))
    assert str(only_finding(caught)).endswith("NC101 the file has 65537 bytes, more than 65536; split it")


def test_deepest_file_is_read(read):
    value = read("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH).value
    for _ in range(MAX_DEPTH):
        (value,) = value
    assert value == 1


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_endless_nesting_ends_at_the_limit(read, opening):
    with pytest.raises(CatalogError) as caught:
        read(opening * 10_000)
    assert only_finding(caught).code == "NC107"


def test_other_encodings_are_refused(read):
    with pytest.raises(CatalogError) as caught:
        read("größe: 1".encode("latin-1"))
    assert str(only_finding(caught)).endswith(":1:1: NC102 byte 2 is not UTF-8; save the file as UTF-8")


def test_utf_16_is_refused(read):
    with pytest.raises(CatalogError) as caught:
        read("a: 1".encode("utf-16"))
    assert only_finding(caught).code == "NC102"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CatalogError) as caught:
        read_yaml(tmp_path / "none.yaml")
    assert (
        str(caught.value) == f"{tmp_path / 'none.yaml'}:1:1: NC100 cannot be read: No such file or directory"
    )


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(CatalogError) as caught:
        read_yaml(tmp_path)
    assert only_finding(caught).code == "NC100"

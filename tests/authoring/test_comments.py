"""Comments are found wherever YAML allows them, and stand beside the same key afterwards."""

import pytest

from neuron_catalog.authoring.comments import Comment, comments_of, with_comments

LIMIT = ("limits", 0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1  # one\n", Comment("# one", ("a",), above=False)),
        ("# one\na: 1\n", Comment("# one", ("a",), above=True)),
        ("# one\n\na: 1\n", Comment("# one", (), above=True)),
        ("# one\r\n \r\na: 1\r\n", Comment("# one", (), above=True)),
        ("\n# one\na: 1\n", Comment("# one", ("a",), above=True)),
        ("a: 1\n\n# two\n\nb: 2\n", Comment("# two", ("b",), above=True)),
        ("a: 1\n  # two\nb: 2\n", Comment("# two", ("b",), above=True)),
        ("a: 1\n# end", Comment("# end", (), above=False)),
        ("a: 1\n...\n# end\n", Comment("# end", (), above=False)),
        ("--- # one\na: 1\n", Comment("# one", ("a",), above=True)),
        ("%YAML 1.1 # one\n---\na: 1\n", Comment("# one", ("a",), above=True)),
        ("\ufeff# one\na: 1\n", Comment("# one", ("a",), above=True)),
        ("a:  # one\n  b: 1\n", Comment("# one", ("a",), above=False)),
        ("a:\n  'text'  # one\n", Comment("# one", ("a",), above=False)),
        ("a: |  # one\n  # text\n", Comment("# one", ("a",), above=False)),
        ("a: |\n  text\n\n # one\nb: 1\n", Comment("# one", ("b",), above=True)),
        ("a: x#y\nb: 'x # y'  #\U0001f600 é  \r\n", Comment("#\U0001f600 é", ("b",), above=False)),
        ("limits:\n  - {axis: x, at_most: y}  # one\n", Comment("# one", LIMIT, above=False)),
        ("limits:\n  - axis: x  # one\n", Comment("# one", (*LIMIT, "axis"), above=False)),
        ("limits:\n  -  # one\n    axis: x\n", Comment("# one", LIMIT, above=True)),
        ("a: {b: 1,  # one\n    c: 2}\n", Comment("# one", ("a", "b"), above=False)),
        ("a: {b: 1,\n    # two\n    c: 2}\n", Comment("# two", ("a", "c"), above=True)),
        ("a: {b: 1,\n    c: 2}  # two\n", Comment("# two", ("a", "c"), above=False)),
        ("a: {b: 1, c: 2}  # all\n", Comment("# all", ("a",), above=False)),
        ("a: {  # all\n    b: 1}\n", Comment("# all", ("a",), above=False)),
        ("a: {b: 1\n}  # end\n", Comment("# end", ("a", "b"), above=False)),
        ("a: [x,  # one\n    y]\n", Comment("# one", ("a", 0), above=False)),
        ("? a  # one\n: 1\n", Comment("# one", ("a",), above=False)),
        ("a: 1\x85# one\u2028b: 2\n", Comment("# one", ("b",), above=True)),
    ],
)
def test_a_comment_belongs_to_a_key(text, found):
    assert comments_of(text) == (found,)


def test_comments_stand_above_and_beside_the_line_of_their_key():
    comments = (
        Comment("# before b", ("a", "b"), above=True),
        Comment("# with a", ("a",), above=False),
        Comment("# file", (), above=True),
        Comment("# last", (), above=False),
    )
    written = with_comments("# head\na:\n  b: 1\n", comments)
    assert written == "# head\n# file\na:  # with a\n  # before b\n  b: 1\n# last\n"


def test_what_stands_above_the_schema_is_about_the_file():
    found = comments_of("# one\n# yaml-language-server: $schema=x\n# two\na: 1\n")
    assert [comment.where for comment in found] == [(), ("a",), ("a",)]


def test_several_ends_of_lines_that_became_one_line_go_above_it():
    comments = comments_of("a: [x,  # one\n    # two\n    y]  # three\n")
    assert with_comments("a: [x, y]\n", comments) == "# one\n# two\n# three\na: [x, y]\n"

"""Documents: nothing is loaded from outside, what is new is indented like its neighbours, what is old stays."""

from __future__ import annotations

import pytest

from kvist.errors import Corrupt, Unsupported
from kvist.xml.document import Document
from kvist.xml.path import Step, add, drop, make, parse, prune
from kvist.xml.rng import violations


def steps(path: str) -> tuple[Step, ...]:
    return parse(path)[0]


def test_a_new_element_is_indented_like_its_neighbours() -> None:
    document = Document.parse("<a>\n   <b/>\n</a>")
    make(document.root, steps("c/d"))
    assert document.text() == "<a>\n   <b/>\n   <c>\n     <d/>\n   </c>\n</a>"


def test_in_a_document_of_one_line_a_new_element_stays_on_it() -> None:
    document = Document.parse("<a><b/></a>")
    make(document.root, steps("c/d"))
    assert document.text() == "<a><b/><c><d/></c></a>"


def test_an_empty_document_grows_by_lines() -> None:
    document = Document.new("a", type="x")
    make(document.root, steps("b/c"))
    assert document.text() == '<a type="x">\n  <b>\n    <c/>\n  </b>\n</a>'


def test_a_new_element_goes_behind_the_last_of_its_name_or_where_the_order_puts_it() -> None:
    document = Document.parse("<a>\n  <b/>\n  <d/>\n</a>")
    add(document.root, steps("b")[0]).set("n", "2")
    add(document.root, steps("c")[0], ("b", "c", "d"))
    add(document.root, steps("z")[0], ("b", "c", "d"))
    assert document.text() == '<a>\n  <b/>\n  <b n="2"/>\n  <c/>\n  <d/>\n  <z/>\n</a>'


@pytest.mark.parametrize("name", ["b", "c", "d"])
def test_an_element_that_was_added_and_dropped_leaves_no_trace(name: str) -> None:
    text = "<a>\n  <b/>\n  <!-- c -->\n  <d/>\n</a>"
    document = Document.parse(text)
    drop(add(document.root, steps(name)[0], ("b", "c", "d")))
    assert document.text() == text


def test_what_is_left_empty_is_pruned_up_to_what_still_says_something() -> None:
    document = Document.parse("<a><b x='1'><c><d/></c></b></a>")
    prune(document.root, steps("b/c/d"))
    assert document.text() == '<a><b x="1"/></a>'


def test_a_predicate_is_made_found_and_pruned_with_its_element() -> None:
    document = Document.parse("<a><f name='other' on='1'/></a>")
    path = steps("f[@name='x']")
    made = make(document.root, path)
    assert made.get("name") == "x" and make(document.root, path) is made
    prune(document.root, path)
    assert document.text() == '<a><f name="other" on="1"/></a>'


@pytest.mark.parametrize("wrong", ["", "a//b", "a[@x=1]/b", "/a b"])
def test_a_path_that_is_none_is_refused_or_leads_nowhere(wrong: str) -> None:
    if wrong:
        with pytest.raises(ValueError, match="is not a path"):
            parse(wrong)
    else:
        assert parse(wrong) == ((), "")


def test_a_broken_document_is_an_error_with_its_line() -> None:
    with pytest.raises(Corrupt, match="line 2"):
        Document.parse("<a>\n</b>")


def test_a_document_cannot_make_kvist_read_a_file() -> None:
    text = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    assert "root:" not in Document.parse(text).text()


def test_documents_that_say_the_same_are_equal_however_they_are_indented() -> None:
    one = Document.parse("<a x='1' y='2'>\n  <b/>\n</a>")
    assert one == Document.parse('<a y="2" x="1"><b></b></a>')
    assert one != Document.parse("<a x='1' y='3'><b/></a>")
    assert hash(one) == hash(one.copy())


def test_a_copy_changes_alone() -> None:
    document = Document.parse("<a/>")
    make(document.copy().root, steps("b"))
    assert document.text() == "<a/>"


def test_libvirts_schema_says_what_is_wrong_with_a_document() -> None:
    good = "<network><name>lab</name><bridge name='virbr9'/></network>"
    assert violations(Document.parse(good)) == []
    assert violations(Document.parse(good.replace("bridge", "brigde"))) != []


def test_a_document_that_libvirt_does_not_know_has_no_schema() -> None:
    with pytest.raises(Unsupported, match="no schema for <cheese>"):
        violations(Document.new("cheese"))

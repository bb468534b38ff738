"""Sentences and their values: nothing in a value is interpreted, and translations can be put in."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import controller
from controller.core.errors import HubError, ImageRefused, InvalidRequest, Unavailable
from controller.core.sentence import Phrase, Sentence

ROOT = Path(controller.__file__).parent
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}
WORDS = {"Sentence", "Phrase"}


def parents_of(name: str) -> list[str]:
    """Return the classes from which a class inherits, by name; those of one name have the same."""
    bases = CLASSES[name].bases if name in CLASSES else []
    return [base.id for base in bases if isinstance(base, ast.Name)]


def is_error(name: str) -> bool:
    """Tell whether a class is an error of the hub."""
    return name == HubError.__name__ or any(is_error(one) for one in parents_of(name))


def takes_text(name: str) -> bool:
    """Tell whether a class is made of a template and its values."""
    if name in WORDS:
        return True
    if name not in CLASSES:
        return False
    for part in CLASSES[name].body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return "text" in {one.arg for one in part.args.posonlyargs}
    return any(takes_text(one) for one in parents_of(name))


CLASSES = {
    node.name: node
    for tree in TREES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef)
}
ERRORS = {name for name in CLASSES if is_error(name)}
MADE_OF_TEXT = WORDS | {name for name in ERRORS if takes_text(name)}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield where words are made, what of, and the call."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            match node.func:
                case ast.Name(id=name) | ast.Attribute(attr=name) if name in MADE_OF_TEXT:
                    yield where, name, node
                case _:
                    pass
    for name in ERRORS:
        for node in ast.walk(CLASSES[name]):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__")
                ) if any(takes_text(one) for one in parents_of(name)):
                    yield name, name, node
                case _:
                    pass


def hands_on(call: ast.Call) -> bool:
    """Tell whether an error's constructor hands on what it was given itself."""
    match call:
        case ast.Call(args=[ast.Name(id="text")], keywords=[ast.keyword(arg=None)]):
            return True
        case _:
            return False


def says_again(kind: str, call: ast.Call) -> bool:
    """Tell whether an error is made of a sentence that stands elsewhere.

    That it is one, and no text, the types hold: what is no literal has to be a ``Sentence``.
    """
    match call:
        case ast.Call(args=[ast.Name() | ast.Attribute() | ast.Call()], keywords=[]):
            return kind in ERRORS
        case ast.Call(args=[ast.IfExp(body=ast.Call(), orelse=ast.Name())], keywords=[]):
            return kind in ERRORS
        case _:
            return False


def made() -> list[tuple[str, str, ast.Call]]:
    """Return every place where words are made from a template."""
    return [
        (where, kind, call)
        for where, kind, call in calls()
        if not says_again(kind, call)
        if not (hands_on(call) and (where in ERRORS or where.startswith("core/errors.py")))
    ]


def test_templates_are_literals() -> None:
    """A translator finds all that people can be told in the source, before any value is in it."""
    for where, _, call in made():
        assert len(call.args) == 1, where
        template = call.args[0]
        assert isinstance(template, ast.Constant), where
        assert isinstance(template.value, str), where


def test_templates_name_their_values() -> None:
    """No sentence fails in front of its reader: each value that it names is given, and no other."""
    for where, _, call in made():
        named: list[str] = []
        for _, name, form, conversion in Formatter().parse(ast.literal_eval(call.args[0])):
            if name is not None:
                named.append(name)
                assert name.isidentifier(), where
                assert not form, where  # how a number is written is settled before it is filled in
                assert not conversion, where
        assert set(named) == {one.arg for one in call.keywords}, where


def test_a_catalogue_can_be_made() -> None:
    """A translator gets whole sentences, and phrases that stand alone or in one of them."""
    sentences: set[str] = set()
    phrases: set[str] = set()
    for _, kind, call in made():
        (phrases if kind == "Phrase" else sentences).add(ast.literal_eval(call.args[0]))
    assert "A name can have at most {most} characters." in sentences
    assert "a graphics card" in phrases
    assert len(sentences) > 150
    # The last words may be somebody else's, or another sentence.
    assert all(one.endswith((".", "}")) for one in sentences)
    assert all(one.strip() == one != "" for one in sentences | phrases)


texts = st.text() | st.sampled_from(["{}", "{said}", "{0.__class__}", "%s %(said)s", "}{", "a\nb"])


@given(texts)
def test_values_come_out_as_they_are(said: str) -> None:
    """Whatever people or engines write is shown as they wrote it, never interpreted."""
    told = f"It says: {said}."
    assert str(Sentence("It says: {said}.", said=said)) == told
    assert str(Sentence("{why}", why=Phrase("It says: {said}.", said=said))) == told
    assert str(InvalidRequest("It says: {said}.", said=said)) == told
    assert ImageRefused("It says: {said}.", said=said).extra() == {"cause": told}
    assert Sentence("{who} wrote at {at} that: {said}.", who=said, at="", said=said).around(
        "at"
    ) == (f"{said} wrote at", f"that: {said}.")


@given(texts, texts)
def test_snapshots_can_be_compared(one: str, other: str) -> None:
    """A page is told of news if what it shows has changed, and only then."""
    first, second = Sentence("It says: {said}.", said=one), Sentence("It says: {said}.", said=other)
    assert (first == second) is (one == other)
    assert len({first, second}) == (1 if one == other else 2)
    assert first != Phrase("It says: {said}.", said=one)
    assert first != str(first)
    assert pickle.loads(pickle.dumps(first)) == first  # noqa: S301 - made here


def test_records_and_answers_keep_plain_text() -> None:
    """What scripts and older hubs read stays text: a sentence that was not made is no answer."""
    with pytest.raises(TypeError):
        msgspec.json.encode({"message": Sentence("Ready.")})


def test_an_error_keeps_its_sentence() -> None:
    """An error can be told in another language, for it keeps what its words were made of."""
    error = InvalidRequest("A name can have at most {most} characters.", most=40)
    assert error.sentence == Sentence("A name can have at most {most} characters.", most=40)
    assert (str(error), error.in_full) == ("A name can have at most 40 characters.",) * 2


def test_an_error_says_a_sentence_again() -> None:
    """The next person reads why it cannot be had in the same words as the first."""
    why = Sentence("A name can have at most {most} characters.", most=40)
    assert InvalidRequest(why).sentence is why
    assert ImageRefused(why).extra() == {"cause": str(why)}
    assert ImageRefused(why).sentence is ImageRefused.plain


def test_a_missing_value_shows_at_once() -> None:
    """A sentence without its value cannot be raised, so a test of it fails."""
    with pytest.raises(KeyError):
        raise Unavailable("{part} does not answer.")


def test_its_parts_can_be_seen() -> None:
    """A developer who looks for a fault sees the template and what it was filled with."""
    assert repr(Phrase("{number} left", number=2)) == "Phrase('{number} left', {'number': 2})"

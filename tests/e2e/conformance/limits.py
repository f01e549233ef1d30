"""Inputs just outside and just inside every limit of the model, and values of the wrong kind.

They are made from the valid inputs: one value is replaced, all else stays.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .cases import CASES
from .model import Model, matches
from .provocations import valid
from .world import World

# Where what is created does not take the places of what the cases make.
REGIONS = {"CreateTrail": "xa-limits-1", "CreateEventDataStore": "xa-limits-1"}
# What keeps a base from working on for the whole test.
QUIET = {"CreateEventDataStore": {"StartIngestion": False, "MultiRegionEnabled": False}}

# Texts to repeat, and texts around them, until one fits a pattern at a length.
LETTERS = "a1A"
AROUND = [("", ""), ("s3://aaa/", ""), ("", ".amazonaws.com"), ("arn:", "")]
WHOLE = ["12:00", "AWS::S3::Object", "$StartTime$"]
MISFITS = ["#", " ", "a\nb", "é", "\x01", "/", "x"]


@dataclass
class Limit:
    """`given` with one value changed. `fits`: the model allows the value."""

    given: dict
    path: str
    what: str
    fits: bool
    kind: str

    @property
    def member(self) -> str:
        return re.split(r"[.\[{]", self.path)[0]


class Unreached(Exception):
    """No case has the place where a member belongs: `cases.py` needs one that has."""


def bases(world: World, operation: str) -> list[dict]:
    """The valid inputs, filled in once for all limits: what is created twice is refused, after all checks."""
    filled = []
    for case in CASES[operation]:
        given = valid(operation, case) | (QUIET.get(operation, {}) if case == "minimal" else {})
        filled.append(world.filled(given))
    return filled


def places(model: Model, shape: str, path: str = "") -> Iterator[tuple[str, str]]:
    """Every path into an input, with its shape; map keys as `{key}`."""
    described = model.shapes[shape]
    if path:
        yield path, shape
    match described["type"]:
        case "structure":
            for name, member in described["members"].items():
                yield from places(model, member["shape"], f"{path}.{name}" if path else name)
        case "list":
            yield from places(model, described["member"]["shape"], f"{path}[]")
        case "map":
            yield f"{path}{{key}}", described["key"]["shape"]
            yield from places(model, described["value"]["shape"], f"{path}{{}}")


def changed(inputs: list[dict], path: str, change) -> dict:
    """The first input that has the place, with `change(value there)` in it."""
    for given in inputs:
        given = copy.deepcopy(given)
        steps = re.findall(r"\[\]|\{key\}|\{\}|[^.\[{]+", path)
        at = given
        try:
            for step in steps[:-1]:
                at = at[0] if step == "[]" else at[next(iter(at))] if step == "{}" else at[step]
            match steps[-1]:
                case "[]":
                    at[0] = change(at[0])
                case "{}":
                    key = next(iter(at))
                    at[key] = change(at[key])
                case "{key}":
                    key = next(iter(at))
                    at[change(key)] = at.pop(key)
                case name:
                    at[name] = change(at.get(name))
        except (KeyError, IndexError, StopIteration, TypeError):
            continue
        return given
    raise Unreached(path)


def limits(model: Model, operation: str, inputs: list[dict]) -> Iterator[Limit]:
    for path, shape in places(model, model.input(operation)):
        described = model.shapes[shape]
        for what, value, fits in values(described):
            if fits and isinstance(value, str) and "pattern" in described and not matches(described["pattern"], value):
                continue  # No text of that length was found that fits the pattern.
            empty = {"list": [], "map": {}}.get(described["type"])
            resized = lambda now, value=value: value if empty is None else resize(now or empty, value)  # noqa: B023, E731
            given = changed(inputs, path, resized)
            yield Limit(given, path, what, fits, described["type"])


def values(described: dict) -> Iterator[tuple[str, object, bool]]:
    """A word, a value (of lists and maps: a size), and whether the shape allows it."""
    low, high, kind = described.get("min"), described.get("max"), described["type"]
    measured = (lambda number: number) if kind in ("integer", "long", "list", "map") else (lambda length: text(described, length))
    if kind not in ("integer", "long", "list", "map", "string"):
        return
    if low is not None:
        yield "at its least", measured(low), True
        if low > 0 or kind in ("integer", "long"):
            yield "below its least", measured(low - 1), False
    if high is not None:
        yield "at its most", measured(high), True
        yield "above its most", measured(high + 1), False
    for value in described.get("enum", []):
        yield f"{value}", value, True
    if "enum" in described:
        yield "no value of the enumeration", "Nonesuch", False
    if "pattern" in described and (misfit := no_match(described)) is not None:
        yield "against its pattern", misfit, False


def text(described: dict, length: int) -> str:
    """A text of that length that fits the pattern; where none is found, one that only has the length."""
    pattern = described.get("pattern", ".*")
    for letter in LETTERS:
        for before, after in AROUND:
            made = before + letter * (length - len(before) - len(after)) + after
            if len(made) == length and matches(pattern, made):
                return made
    return next((whole for whole in WHOLE if len(whole) == length and matches(pattern, whole)), "a" * length)


def no_match(described: dict) -> str | None:
    """A text of an allowed length that the pattern refuses."""
    length = max(described.get("min", 1), 1)
    for misfit in MISFITS:
        made = (misfit * length)[: max(length, len(misfit))]
        if not matches(described["pattern"], made) and len(made) <= described.get("max", len(made)):
            return made
    return None


def resize(now: list | dict, size: int) -> list | dict:
    """A list or map of that size, of what is in it now; other keys for maps."""
    if size and not now:
        raise KeyError("nothing to repeat")
    if isinstance(now, list):
        return (now * size)[:size]
    return {f"{key}{n or ''}": value for key, value in [*now.items()][:1] for n in range(size)}


WRONG_KINDS = {
    "string": (1, [], {}, True), "integer": ("x", [], True, 1.5, 2**40), "long": ("x", []), "boolean": ("true", 1, []),
    "list": ({}, "x", 1), "map": ([], "x", 1), "structure": ([], "x", 1), "timestamp": ([], {}, True, "x"), "blob": (1, []),
}


def wrong_kinds(model: Model, operation: str, inputs: list[dict]) -> Iterator[tuple[str, object, dict]]:
    in_query = {name for name, member in model.members(model.input(operation)).items() if member.get("location") == "querystring"}
    for path, shape in places(model, model.input(operation)):
        if path.endswith("{key}") or path in in_query:
            continue
        for wrong in WRONG_KINDS[model.shapes[shape]["type"]]:
            yield path, wrong, changed(inputs, path, lambda _, wrong=wrong: wrong)

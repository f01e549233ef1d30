"""The published model, read from the installed botocore; nothing here knows Cairn."""

import base64
import binascii
import re
from pathlib import Path

import botocore.loaders

FOLDER = Path(__file__).parent


class Model:
    def __init__(self, service: str):
        description = botocore.loaders.Loader().load_service_model(service, "service-2")
        self.shapes = description["shapes"]
        self.operations = description["operations"]

    def errors(self, operation: str) -> list[str]:
        """The codes that the operation declares, each once (StartImport has two of them twice)."""
        declared = self.operations[operation].get("errors", [])
        return list(dict.fromkeys(self.code(error["shape"]) for error in declared))

    def code(self, shape: str) -> str:
        """As it stands in `__type`: the shape's name. The model's query-style `error.code` is of an older protocol."""
        assert self.shapes[shape]["exception"]
        return shape

    def input(self, operation: str) -> str:
        return self.operations[operation]["input"]["shape"]

    def output(self, operation: str) -> str:
        return self.operations[operation]["output"]["shape"]

    def members(self, shape: str) -> dict:
        return self.shapes[shape].get("members", {})

    def takes(self, operation: str, member: str) -> bool:
        return member in self.members(self.input(operation))

    def paths(self, shape: str, path: str = "") -> list[str]:
        """Every member that the shape can have, such as `Trail.Name` or `Events[].EventId`."""
        described = self.shapes[shape]
        match described["type"]:
            case "structure":
                found = []
                for name, member in described["members"].items():
                    inner = f"{path}.{name}" if path else name
                    found += [inner, *self.paths(member["shape"], inner)]
                return found
            case "list":
                return [f"{path}[]", *self.paths(described["member"]["shape"], f"{path}[]")]
            case "map":
                return [f"{path}{{}}", *self.paths(described["value"]["shape"], f"{path}{{}}")]
        return []

    def faults(self, shape: str, value, path: str = "") -> tuple[list[str], set[str]]:
        """What is wrong with a value by its shape, and the paths that are there."""
        seen: set[str] = set()
        return list(self._faults(shape, value, path, seen)), seen

    def _faults(self, shape: str, value, path: str, seen: set[str]):
        described = self.shapes[shape]
        kind = described["type"]
        if not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean"):
            yield f"{path}: {value!r} is no {kind}"
            return
        if fault := constraint_fault(described, value):
            yield f"{path}: {fault}"
        if kind == "structure":
            for name in described.get("required", []):
                if name not in value:
                    yield f"{path}.{name}: is required and missing"
            for name, item in value.items():
                inner = f"{path}.{name}" if path else name
                if name not in described["members"]:
                    yield f"{inner}: is not in the model"
                    continue
                seen.add(inner)
                yield from self._faults(described["members"][name]["shape"], item, inner, seen)
        elif kind == "list":
            for item in value:
                seen.add(f"{path}[]")
                yield from self._faults(described["member"]["shape"], item, f"{path}[]", seen)
        elif kind == "map":
            for key, item in value.items():
                seen.add(f"{path}{{}}")
                yield from self._faults(described["key"]["shape"], key, f"{path}{{key}}", seen)
                yield from self._faults(described["value"]["shape"], item, f"{path}{{}}", seen)


# What JSON must hold for each type. AWS: timestamps are numbers of seconds, blobs are base64 texts.
KINDS = {
    "structure": dict, "list": list, "map": dict, "string": str, "boolean": bool, "integer": int, "long": int,
    "float": (int, float), "double": (int, float), "timestamp": (int, float), "blob": str,
}


def constraint_fault(described: dict, value) -> str | None:
    """The first constraint of the shape that the value breaks."""
    kind = described["type"]
    if kind == "timestamp":
        return None if 946_684_800 < value < 4_102_444_800 else f"{value} is no number of seconds in this century"
    if kind == "blob":
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error:
            return f"{value!r} is not base64"
    if value in ("", []) and kind in ("string", "list") and described.get("min", 0) > 0:
        return "is empty"
    measure = value if kind in ("integer", "long", "float", "double") else len(value) if hasattr(value, "__len__") else 0
    if measure < described.get("min", measure) or measure > described.get("max", measure):
        return f"{measure} is not within {described.get('min')}..{described.get('max')}"
    if "enum" in described and value not in described["enum"]:
        return f"{value!r} is not one of {described['enum']}"
    if kind == "string" and "pattern" in described and not matches(described["pattern"], value):
        return f"{value!r} does not match {described['pattern']}"
    return None


def matches(pattern: str, text: str) -> bool:
    """AWS matches the whole text."""
    return re.fullmatch(pattern, text, re.ASCII) is not None


def reasons(file: str) -> dict[tuple[str, ...], str]:
    """A list with reasons: `# reason` above the lines that it holds for; what stands twice is a fault."""
    found: dict[tuple[str, ...], str] = {}
    reason = ""
    for line in (FOLDER / file).read_text().splitlines():
        if line.startswith("# "):
            reason = line[2:]
        elif line.strip():
            assert reason, f"{file}: {line} has no reason"
            words = tuple(line.split())
            assert words not in found, f"{file}: {line} stands there twice"
            found[words] = reason
    return found


CLOUDTRAIL = Model("cloudtrail")
DATA = Model("cloudtrail-data")


def model_of(operation: str) -> Model:
    return CLOUDTRAIL if operation in CLOUDTRAIL.operations else DATA


OPERATIONS = [*CLOUDTRAIL.operations, *DATA.operations]
PAIRS = [(operation, code) for operation in OPERATIONS for code in model_of(operation).errors(operation)]

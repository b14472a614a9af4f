"""Hypothesis strategies from JSON Schemas, as pydantic makes them of our models: whole documents.

hypothesis-jsonschema does the same, but not with the hypothesis of today.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
"""JSON has no others."""

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
MOST = 4
"""Items of a list, and names of a mapping that may have any."""


def documents(schema: dict[str, Any]) -> SearchStrategy[Any]:
    """Draw what a schema allows. What it cannot say, such as how two fields agree, is left to chance."""
    return _Drawn(schema).of(schema)


@dataclass(frozen=True)
class _Drawn:
    schema: dict[str, Any]

    @cached_property
    def _definitions(self) -> dict[str, SearchStrategy[Any]]:
        parts = self.schema.get("$defs", {}).items()
        return {f"#/$defs/{name}": st.deferred(lambda part=part: self.of(part)) for name, part in parts}

    def of(self, part: Any) -> SearchStrategy[Any]:
        if part is True or not part:
            return ANYTHING
        if "$ref" in part:
            return self._definitions[part["$ref"]]
        if "const" in part:
            return st.just(part["const"])
        if "enum" in part:
            return st.sampled_from(part["enum"])
        choices = part.get("anyOf") or part.get("oneOf")
        if choices:
            return st.one_of([self.of(each) for each in choices])
        return getattr(self, part["type"])(part) if "type" in part else ANYTHING

    def object(self, part: dict[str, Any]) -> SearchStrategy[Any]:
        optional = {name: self.of(each) for name, each in part.get("properties", {}).items()}
        required = {name: optional.pop(name) for name in part.get("required", ()) if name in optional}
        fixed = st.fixed_dictionaries(required, optional=optional)
        named = dict(part.get("patternProperties", {}))
        if part.get("additionalProperties"):
            named[part.get("propertyNames", {}).get("pattern", "")] = part["additionalProperties"]
        if not named:
            return fixed
        least = part.get("minProperties", 0)
        more = [
            st.dictionaries(
                self.string({"pattern": pattern} if pattern else {}),
                self.of(each),
                min_size=least,
                max_size=MOST,
            )
            for pattern, each in named.items()
        ]
        return st.tuples(fixed, st.one_of(more)).map(lambda both: both[1] | both[0])

    def array(self, part: dict[str, Any]) -> SearchStrategy[Any]:
        if "prefixItems" in part:
            return st.tuples(*map(self.of, part["prefixItems"])).map(list)
        least = part.get("minItems", 0)
        return st.lists(self.of(part.get("items")), min_size=least, max_size=max(MOST, least))

    def string(self, part: dict[str, Any]) -> SearchStrategy[str]:
        """Draw text by its pattern, or names as they often are."""
        if "pattern" in part:
            return st.from_regex(part["pattern"], fullmatch=True)
        least, most = part.get("minLength", 0), part.get("maxLength", 30)
        return st.text(min_size=least, max_size=most) | st.sampled_from(["input_ids", "model.pt", "0" * 64])

    def integer(self, part: dict[str, Any]) -> SearchStrategy[int]:
        least = part["exclusiveMinimum"] + 1 if "exclusiveMinimum" in part else part.get("minimum")
        return st.integers(min_value=least)

    def number(self, part: dict[str, Any]) -> SearchStrategy[float]:
        least, above = part.get("minimum"), part.get("exclusiveMinimum")
        return st.floats(
            above if least is None else least,
            allow_nan=False,
            allow_infinity=False,
            exclude_min=above is not None,
        )

    def boolean(self, part: dict[str, Any]) -> SearchStrategy[bool]:
        return st.booleans()

    def null(self, part: dict[str, Any]) -> SearchStrategy[None]:
        return st.none()

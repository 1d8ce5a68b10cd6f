"""Directives that write the settings page from the code that checks the settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from napari_inr_tomo.config import PresetName, ReconstructionConfig

USUAL: PresetName = ReconstructionConfig().preset
"""The preset where neither file nor command line names one."""


def written(value: Any) -> str:
    """Return a value as it is written in TOML."""
    if value is None:
        return "*none*"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple):
        return f"`{list(value)}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def allowed(schema: dict[str, Any]) -> str:
    """Return the values a JSON schema of one field allows, in words."""
    if "anyOf" in schema:
        real = [s for s in schema["anyOf"] if s.get("type") != "null"]
        return ", ".join([*map(allowed, real), "or left out"])
    if "enum" in schema:
        return ", ".join(written(value) for value in schema["enum"])
    if "const" in schema:
        return written(schema["const"])
    if schema.get("type") == "array":
        return f"list: {allowed(schema['items'])}"
    words = {"integer": "whole number", "number": "number", "boolean": "true or false"}
    limits = {
        "minimum": ">= {}",
        "exclusiveMinimum": "> {}",
        "maximum": "<= {}",
        "exclusiveMaximum": "< {}",
    }
    bounds = [text.format(schema[key]) for key, text in limits.items() if key in schema]
    return " ".join([words.get(schema.get("type", ""), ""), ", ".join(bounds)]).strip()


def is_table(field: FieldInfo) -> bool:
    """Tell whether a field holds further settings."""
    return isinstance(field.annotation, type) and issubclass(
        field.annotation, BaseModel
    )


def rows(model: type[BaseModel], prefix: str, usual: dict[str, Any]) -> Iterator[str]:
    """Yield one Markdown row for every plain field of a model.

    usual: what holds where a file says nothing, under dotted names.
    """
    schemas = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        if is_table(field):
            continue
        words = " ".join((field.description or "").split())
        default = written(usual[f"{prefix}.{name}".lstrip(".")])
        yield f"| `{name}` | {default} | {allowed(schemas[name])} | {words} |"


def tables(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the Markdown lines of a model's tables, outermost first."""
    usual = ReconstructionConfig.from_preset(USUAL).flat()
    lines = list(rows(model, prefix, usual))
    yield f"## `[{prefix}]`" if prefix else "## At the top of the file"
    yield ""
    yield " ".join((model.__doc__ or "").split())
    yield ""
    if lines:
        yield from ("| setting | default | allowed | meaning |", "| --- " * 4 + "|")
        yield from lines
        yield ""
    for name, field in model.model_fields.items():
        if is_table(field):
            yield from tables(field.annotation, f"{prefix}.{name}".lstrip("."))


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result


def presets() -> Iterator[str]:
    """Yield the Markdown lines of a table of what the presets set differently."""
    names = get_args(PresetName)
    values = [flat(ReconstructionConfig.from_preset(n).model_dump()) for n in names]
    yield f"| setting | {' | '.join(f'`{name}`' for name in names)} |"
    yield f"| {'--- | ' * (len(names) + 1)}"
    for key in values[0]:
        row = [written(preset[key]) for preset in values]
        if key != "preset" and len(set(row)) > 1:
            yield f"| `{key}` | {' | '.join(row)} |"


class PresetTable(SphinxDirective):
    """Put the table of presets here."""

    def run(self) -> list[nodes.Node]:
        """Parse the table as part of the page."""
        return self.parse_text_to_nodes("\n".join(presets()))


class SettingsTables(SphinxDirective):
    """Put the tables of all settings here."""

    def run(self) -> list[nodes.Node]:
        """Parse the tables as part of the page."""
        text = "\n".join(tables(ReconstructionConfig))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("preset-table", PresetTable)
    app.add_directive("settings-tables", SettingsTables)
    return {"parallel_read_safe": True}

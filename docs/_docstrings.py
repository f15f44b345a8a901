"""Docstrings and signatures as Sphinx reads them: types are not evaluated, and Markdown's backticks are code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import ForwardRef

from sphinx.application import Sphinx

_HEADER = re.compile(r"(Args|Attributes|Raises|Returns|Warns|Source|Reference|Example)( \(\w+\))?:")
_MADE_BY_FUNCTIONS = ("jaxiter.Stream", "jaxiter.ImageFiles")  # classes that users do not construct
_ENTRY = re.compile(r"    (\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process_docstring)
    app.connect("autodoc-process-signature", _process_signature)
    return {"parallel_read_safe": True}


def _process_docstring(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    lines[:] = list(_as_rst(_with_code_blocks(lines)))


def _with_code_blocks(lines: list[str]) -> list[str]:
    """Markdown's indented code as that of reStructuredText: after a line that ends with a double colon."""
    starts = (number for number in range(len(lines) - 2) if lines[number].endswith(":") and not lines[number + 1])
    code = {number for number in starts if _indentation(lines[number + 2]) > _indentation(lines[number])}
    return [f"{line}:" if number in code else line for number, line in enumerate(lines)]


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _as_rst(lines: list[str]) -> Iterator[str]:
    section, block = None, []
    for line in [*lines, "END:"]:
        header = _HEADER.fullmatch(line)
        if header or line == "END:" or (section and line and not line.startswith(" ")):
            yield from map(_escaped, block) if section is None else _section(section, block)
            section, block = (line[:-1] if header else None), ([] if header else [line])
        else:
            block.append(line)


def _section(title: str, block: list[str]) -> Iterator[str]:
    """A section of a docstring: a field, or for examples a heading of its own."""
    if title == "Example":
        yield from ["", ".. rubric:: Example", "", *(line[4:] for line in block), ""]
    elif title in ("Args", "Attributes", "Raises", "Warns"):
        yield f":{'Parameters' if title == 'Args' else title}:"
        for line in block:
            entry = _ENTRY.fullmatch(line)
            if entry is None:
                yield _escaped(line[4:] if line.startswith(" " * 8) else line)  # goes on with its entry
            else:
                mark = "``" if title in ("Raises", "Warns") else "**"
                names = ", ".join(f"{mark}{_escaped(name)}{mark}" for name in entry[1].split(", "))
                yield from ["", f"    {names} -- {_escaped(entry[2])}"]
        yield ""
    else:
        yield from [f":{title}:", *map(_escaped, block), ""]


def _escaped(line: str) -> str:
    """The line with its stars taken as they stand, outside of code: `**kwargs` is no bold text."""
    return "".join(
        part if place % 2 else part.replace("*", r"\*") for place, part in enumerate(re.split("(`[^`]*`)", line))
    )


def _process_signature(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """The signature as it stands in the source: evaluated, types would be those of private files."""
    if name in _MADE_BY_FUNCTIONS:
        return "", None
    if signature is None or not callable(thing):
        return None
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return None
    parameters = [parameter for parameter in found.parameters.values() if parameter.name != "self"]
    returned = found.return_annotation
    plain = inspect.Signature([_without_quotes(parameter) for parameter in parameters])
    return str(plain), None if what == "class" or returned in (None, "None", inspect.Signature.empty) else _text(
        returned
    )


def _without_quotes(parameter: inspect.Parameter) -> inspect.Parameter:
    annotation, default = parameter.annotation, parameter.default
    if annotation is not inspect.Parameter.empty:
        annotation = _Plain(_text(annotation))
    if inspect.isroutine(default):
        default = _Plain(default.__name__)  # without its address
    return parameter.replace(annotation=annotation, default=default)


def _text(annotation: object) -> str:
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    return annotation.replace("npt.", "") if isinstance(annotation, str) else inspect.formatannotation(annotation)


class _Plain(str):
    """Text that `inspect` prints without quotes."""

    def __repr__(self) -> str:
        return str(self)

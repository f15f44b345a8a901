"""The directive `public`: names of the package, first in a table of one line each, then whole, from their docstrings.

A line of it is a name, or a class with the members to show: `Transform: sample apply`, or `Loader: *` for all that have
a docstring.
"""

from __future__ import annotations

import inspect
from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import jaxiter
import jaxiter.keras


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("public", Public)
    return {"parallel_read_safe": True}


class Public(SphinxDirective):
    has_content = True
    option_spec: ClassVar = {"module": str}

    def run(self) -> list[nodes.Node]:
        module = self.options.get("module", "jaxiter")
        entries = [line.partition(":")[::2] for line in self.content if line.strip()]
        names = [name.strip() for name, _ in entries]
        lines = ["```{eval-rst}", f".. currentmodule:: {module}", "", ".. autosummary::", ""]
        lines += [*(f"   {name}" for name in names), ""]
        for name, members in entries:
            lines += self._whole(module, name.strip(), members.split())
        parent = nodes.container()
        self.state.nested_parse(StringList([*lines, "```"]), self.content_offset, parent)
        return parent.children

    def _whole(self, module: str, name: str, members: list[str]) -> list[str]:
        thing = getattr(jaxiter.keras if module == "jaxiter.keras" else jaxiter, name)
        if not inspect.isclass(thing):
            return [f".. autofunction:: {name}", ""]
        lines = [f".. autoclass:: {name}"]
        if members == ["*"]:
            lines += ["   :members:"]
        elif members:
            lines += [f"   :members: {', '.join(members)}", "   :undoc-members:"]
        return [*lines, ""]

"""Names in code: public ones lead to the reference; of those that say jaxiter, what is not there is an error."""

from __future__ import annotations

import inspect
import re
from functools import reduce
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

import jaxiter
import jaxiter.keras

_OTHERS = {
    *(
        "Any",
        "Callable",
        "Hashable",
        "Iterable",
        "Iterator",
        "Literal",
        "Mapping",
        "None",
        "NoReturn",
        "Self",
        "Sequence",
    ),
    *("Array", "Bool", "Float", "Float64", "Int", "Int32", "Integer", "Num", "Real", "Shaped", "UInt32"),
    *("ArrayLike", "DTypeLike", "np.dtype", "np.integer", "np.ndarray", "jax.Array", "Device", "Sharding"),
    *("Image.Image", "Path", "pathlib.Path", "io.BytesIO", "os.PathLike", "object", "type"),
}
_PACKAGES = ("jax.", "jaxlib.", "numpy.", "PIL.", "collections.", "typing.")
CHANGELOG = "project/changelog"  # names that are gone stand there alone
_MEMBER = re.compile(r"(?:jx|jaxiter)\.(\w+(?:\.\w+)*)|(loader|[A-Z]\w+)\.(\w+)")
_CODE = re.compile(r"(?:jx\.|jaxiter\.)?((?:keras\.)?\w+(?:\.\w+)?)(?:\(.*\))?", re.DOTALL)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("missing-reference", _name_of_others)
    app.connect("env-check-consistency", _check_each_name_once)
    app.add_post_transform(LinkedNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _name_of_others(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.TextElement | None:
    """A public name by its private path; the text of a type of another package; else None, which is an error."""
    target = node.get("reftarget", "")
    found = env.domains["py"].objects.get(f"jaxiter.{target.rpartition('.')[2]}")
    if found is not None and (target.startswith("jaxiter.") or "." not in target):
        return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, content, target)
    return content if target in _OTHERS or target.startswith(_PACKAGES) else None


def public_names() -> set[str]:
    """Every name that users import; what `jaxiter` has of `jaxiter.keras` under the second alone."""
    keras = {name for name, it in vars(jaxiter.keras).items() if not name.startswith("_") and not inspect.ismodule(it)}
    return {f"jaxiter.{name}" for name in set(jaxiter.__all__) - keras} | {f"jaxiter.keras.{name}" for name in keras}


def _check_each_name_once(app: Sphinx, env: BuildEnvironment) -> None:
    """Sphinx itself warns of a name that stands twice."""
    shown = {
        name for name, found in env.domains["py"].objects.items() if found.objtype in ("class", "function", "data")
    }
    for name in sorted(public_names() - shown):
        logging.getLogger(__name__).warning("%s is public and stands on no page of the reference", name)


class LinkedNames(SphinxPostTransform):
    """Code that is a public name, or a call of one, leads to the reference: `jx.stream(loader, key)`."""

    default_priority = 5

    def run(self, **kwargs: Any) -> None:
        objects = self.env.domains["py"].objects
        for literal in list(self.document.findall(nodes.literal)):
            if self.env.docname != CHANGELOG and _is_unknown(literal.astext()):
                message = "%s: there is no such name in jaxiter"
                logging.getLogger(__name__).warning(message, literal.astext(), location=literal)
            code = _CODE.fullmatch(literal.astext())
            if code is None or _is_within(literal, (nodes.title, nodes.reference, pending_xref)):
                continue
            name = re.sub(r"^loader\.", "Loader.", code[1])
            found = next((full for full in (f"jaxiter.{name}", f"jaxiter.keras.{name}") if full in objects), None)
            if found is not None:
                page, anchor = objects[found].docname, objects[found].node_id
                link = make_refnode(self.app.builder, self.env.docname, page, anchor, literal.deepcopy(), found)
                literal.replace_self(link)


def _is_unknown(code: str) -> bool:
    """Whether code begins with a name of jaxiter, or a member of a public class, that is not there."""
    found = _MEMBER.match(code)
    if found is None:
        return False
    if found[1]:
        *path, last = found[1].split(".")
        thing = reduce(lambda it, name: getattr(it, name, None), path, jaxiter)
    else:
        thing, last = getattr(jaxiter, "Loader" if found[2] == "loader" else found[2], None), found[3]
        if not inspect.isclass(thing):
            return False  # of another package
    return not hasattr(thing, last) and last not in getattr(thing, "__annotations__", {})


def _is_within(node: nodes.Node | None, kinds: tuple[type, ...]) -> bool:
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False

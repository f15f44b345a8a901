"""What augmentation makes of some examples, as one picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from .._checks import check_int, check_rows
from .._drawing import SIDE, below_each_other, in_colours, in_rgb, is_mask, range_of
from .._host_rows import dtype_of
from .._keys import Counter, Key, as_key, check_counter
from .._pictures import CHANNELS, is_real
from .._ragged import Ragged
from .._transfers import on_host, transfers
from ..augment.internal import Companion, Places
from ._augment_tree import IMAGE_RANK
from ._marks import MarkedLeaf, Marks, marked_leaf, marks_of
from ._program import Chains, augment_rows
from ._read import check_masks, read_examples
from ._sharding import following, is_traced, on_mesh
from ._spec import BatchSpec

if TYPE_CHECKING:
    from jaxtyping import UInt8

    Line = UInt8[np.ndarray, "n height width 3"]

_COLUMNS = 16
_LARGEST = 256  # pixels: larger pictures are reduced
_VIEWS = 4  # or frames, of more than which some are shown
_PERCENT = 1  # of the values, which jittered colours send far out


class _Shown(NamedTuple):
    """One leaf of the data for all rows: (n, height, width, channels), or with views or frames after the first axis."""

    before: np.ndarray | list[np.ndarray] | None  # a list of different sizes; None: channels that cannot be drawn
    after: list[np.ndarray]  # one for each epoch
    marks: list[MarkedLeaf]  # that are drawn into it

    @property
    def is_mask(self) -> bool:
        if self.before is None:
            return False
        originals = [image[None] for image in self.before] if isinstance(self.before, list) else [self.before]
        return all(is_mask(view) for images in (*originals, *self.after) for _, view in _views(images))


def draw_preview(spec: BatchSpec, key: Key, rows: Any, epochs: Any) -> Image.Image:
    """`Loader.preview`."""
    if any(map(is_traced, jax.tree.leaves((key, spec.leaves, spec.chain_leaves, spec.visited)))):
        raise TypeError("preview was called under jit or vmap; expected arrays with values. Call it outside.")
    key = as_key(key)
    index, showings = _chosen_rows(spec, rows)
    numbers = _chosen_epochs(epochs)
    spec.check_arrays()
    key = following(key, spec.devices, spec.program.mesh)
    with on_mesh(spec.program.mesh):
        before = [read_examples(name, leaf, index) for name, leaf in zip(spec.names, spec.leaves, strict=True)]
        check_masks(spec, before, index)
        after = [_augmented(spec.chains, key, epoch, index.astype(np.int32), showings, before) for epoch in numbers]
    return Image.fromarray(_drawn(_shown_leaves(spec, before, after)))


@transfers
@jax.jit
def _augmented(
    chains: Chains, key: Key, epoch: Counter, index: jax.Array, showings: jax.Array, before: Sequence[jax.Array]
) -> list[jax.Array]:
    return augment_rows(chains, key, epoch, index, before, showings)


def _is_number(value: object) -> bool:
    return getattr(value, "shape", None) == () or not hasattr(value, "__len__")


def _chosen_rows(spec: BatchSpec, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the data, and their showings: numbers as given, or so many, spread over those that are visited."""
    if not _is_number(rows):
        index = check_rows(rows, spec.leaves[0].shape[0], owner="the data").astype(np.int64)
        return index, np.zeros(len(index), np.uint32)
    count = check_int("rows", rows, 1, expected="at least 1", kind="a number of rows, or their numbers in a sequence")
    places = np.linspace(0, spec.size - 1, min(count, spec.size)).round().astype(np.int64)
    if spec.visited is None:
        return places, np.zeros(len(places), np.uint32)
    # With weights the rows that have places are not looked for; each is shown as where it is shown first.
    rows, showings = (
        None if values is None else np.asarray(on_host(values))[places]
        for values in (spec.visited.rows, spec.visited.showings)
    )
    rows = places if rows is None else rows.astype(np.int64)
    return rows, np.zeros(len(places), np.uint32) if showings is None else showings


def _chosen_epochs(epochs: Any) -> list[Counter]:
    if _is_number(epochs):
        kind = "a number of epochs, or their numbers in a sequence"
        epochs = range(check_int("epochs", epochs, 1, expected="at least 1", kind=kind))
    if not len(epochs):
        raise ValueError("epochs is empty; expected at least one.")
    return [check_counter(f"epochs[{place}]", epoch) for place, epoch in enumerate(epochs)]


def _shown_leaves(spec: BatchSpec, before: list[jax.Array], after: list[list[jax.Array]]) -> list[_Shown]:
    """The leaves that hold pictures after their transforms."""
    of_leaf = [[leaves[place] for leaves in after] for place in range(len(before))]
    marks = [
        marked_leaf(chain, originals, results)
        for chain, originals, results in zip(spec.chains, before, of_leaf, strict=True)
        if isinstance(chain, Places)
    ]
    shown = []
    for place, (chain, originals, results) in enumerate(zip(spec.chains, before, of_leaf, strict=True)):
        if isinstance(chain, Places):
            continue
        has_frames = chain is not None and bool(chain.has_frames)
        if isinstance(chain, Companion) and originals.ndim == IMAGE_RANK - 1 + has_frames:
            originals, *results = (array[..., None] for array in (originals, *results))  # a mask without channels
        if originals.ndim == IMAGE_RANK + has_frames and _can_be_drawn(results[0]):
            drawable = _on_host(originals) if _can_be_drawn(originals) else None
            own = [mark for mark in marks if mark.target == place]
            shown.append(_Shown(drawable, [np.asarray(on_host(images)) for images in results], own))
    if not shown:
        leaves = "\n".join(
            f"  {name}: {dtype_of(leaf)}{list(leaf.shape)}" for name, leaf in zip(spec.names, spec.leaves, strict=True)
        )
        raise ValueError(
            f"the data hold nothing that can be shown as pictures:\n{leaves}\nExpected an array (size, height, width, "
            "channels) that has 1, 3 or 4 channels after its transform. Give grey pictures a channel axis, "
            "x[..., None]; of other numbers of channels draw some, image_grid(loader.batch(key, 0, 0)"
            f"{spec.names[0].removeprefix('data')}[..., :3])."
        )
    return shown


def _on_host(originals: Any) -> np.ndarray | list[np.ndarray]:
    if isinstance(originals, Ragged):
        return [np.asarray(on_host(originals[place])) for place in range(len(originals))]
    return np.asarray(on_host(originals))


def _can_be_drawn(images: Any) -> bool:
    return images.ndim in (IMAGE_RANK, IMAGE_RANK + 1) and images.shape[-1] in CHANNELS and is_real(images.dtype)


def _views(images: np.ndarray) -> list[tuple[int | None, np.ndarray]]:
    """Each of several views, or some of the frames, and its number."""
    if images.ndim == IMAGE_RANK:
        return [(None, images)]
    count = images.shape[1]
    numbers = np.linspace(0, count - 1, min(count, _VIEWS)).round().astype(int).tolist()
    return [(view, images[:, view]) for view in numbers]


def _drawn(leaves: list[_Shown]) -> UInt8[np.ndarray, "rows columns 3"]:
    """The originals of all leaves, below them the results of each epoch."""
    are_masks = [leaf.is_mask for leaf in leaves]
    if all(are_masks):  # pictures of few grey levels
        are_masks = [False] * len(leaves)
    height, width = leaves[0].after[0].shape[-3:-1]
    longest = max(height, width)
    factor = max(1, round(SIDE / longest)) if longest <= _LARGEST else _LARGEST / longest
    tile = max(1, round(height * factor)), max(1, round(width * factor))
    groups: list[list[Line]] = [[] for _ in range(len(leaves[0].after) + 1)]
    for leaf, as_mask in zip(leaves, are_masks, strict=True):
        if leaf.before is not None:
            alike = leaf.before if isinstance(leaf.before, list) else [leaf.before]
            groups[0] += _tiles(leaf.before, alike, as_mask, tile, [mark.before for mark in leaf.marks])
        for epoch, images in enumerate(leaf.after):
            marks = [mark.after[epoch] for mark in leaf.marks]
            groups[1 + epoch] += _tiles(images, leaf.after, as_mask, tile, marks)
    lines = [line for group in groups for line in group]
    has_several = len(lines) > len(groups)
    apart = np.cumsum([0, *map(len, groups)])[:-1].tolist() if has_several else [0]
    return below_each_other(lines, min(len(lines[0]), _COLUMNS), 1, apart)


def _tiles(
    pictures: np.ndarray | list[np.ndarray],
    alike: list[np.ndarray],
    as_mask: bool,
    tile: tuple[int, int],
    places: Sequence[np.ndarray],
) -> Iterable[Line]:
    """Pictures as lines of tiles, with the marks at `places`; the pictures of `alike` have one range."""
    bounds = (0.0, 1.0) if as_mask else range_of(alike, percent=_PERCENT)
    for view, images in [(None, pictures)] if isinstance(pictures, list) else _views(pictures):
        drawn = [(in_colours(image[None]) if as_mask else in_rgb(image[None], *bounds))[0] for image in images]
        pairs = zip(drawn, marks_of(places, len(drawn), view), strict=True)
        line = [_fitted(picture, tile, as_mask, marks) for picture, marks in pairs]
        height = max(len(picture) for picture in line)
        yield np.stack([_lengthened(picture, height) for picture in line])


def _lengthened(picture: UInt8[np.ndarray, "height width 3"], height: int) -> np.ndarray:
    """With white below it."""
    return np.pad(picture, ((0, height - len(picture)), (0, 0), (0, 0)), constant_values=255)


def _fitted(
    picture: UInt8[np.ndarray, "height width 3"], tile: tuple[int, int], as_mask: bool, marks: Marks
) -> UInt8[np.ndarray, "line_height tile_width 3"]:
    """A picture as wide as the tile, or twice as high if it is so narrow, in the middle on white."""
    scale = min(tile[1] / picture.shape[1], 2 * tile[0] / picture.shape[0])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    # A box keeps the squares of magnified pixels, and averages what becomes smaller.
    resampling = Image.Resampling.NEAREST if as_mask else Image.Resampling.BOX
    fitted = np.full((height, tile[1], 3), 255, np.uint8)
    left = (tile[1] - width) // 2
    fitted[:, left : left + width] = Image.fromarray(picture).resize((width, height), resampling)
    return marks.drawn_into(fitted, scale, left)

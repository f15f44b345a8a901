"""Keras' affine parameters as the map that the core resamples along."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..augment.internal import Reach


def affine_matrix(
    xp: Any, params: Any, rows: int, cols: int, *, exchanged: bool = True
) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    """The upper two rows of the 3x3 matrix, output to source in (row, col, 1); `xp` is NumPy or jax.numpy.

    Rotation, shift, shear and zoom act about (rows / 2 - 0.5, cols / 2 - 0.5). Where `exchanged`, as in both of Keras'
    data formats, rows and columns are swapped at the very end, and the centre with them: `tx` moves along columns,
    and a picture that is not square turns about a point beside its middle. That is what Keras does.

    Args:
        params: Has theta and shear in radians, tx and ty in pixels, zx and zy.
    """
    cos, sin = xp.cos(params.theta), xp.sin(params.theta)
    sheared_cos, sheared_sin = xp.cos(params.theta + params.shear), xp.sin(params.theta + params.shear)
    a00, a01 = params.zx * cos, -params.zy * sheared_sin
    a10, a11 = params.zx * sin, params.zy * sheared_cos
    centre_row, centre_col = rows / 2 - 0.5, cols / 2 - 0.5
    # The offset as shift plus (1 - A) times the centre: the identity gives exactly 0 in float32 too.
    b0 = params.tx * cos - params.ty * sin + ((1 - a00) * centre_row - a01 * centre_col)
    b1 = params.tx * sin + params.ty * cos + ((1 - a11) * centre_col - a10 * centre_row)
    if exchanged:
        return (a11, a10, b1), (a01, a00, b0)
    return (a00, a01, b0), (a10, a11, b1)


def flipped(row: tuple[Any, Any, Any], params: Any, rows: int, cols: int) -> tuple[Any, Any, Any]:
    """One row of the matrix, of a picture that is mirrored after the map, where `params` says so."""
    along_rows, along_cols, offset = row
    horizontal, vertical = params.flip_horizontal, params.flip_vertical
    offset = offset + vertical * along_rows * (rows - 1) + horizontal * along_cols * (cols - 1)
    return along_rows * (1 - 2 * vertical), along_cols * (1 - 2 * horizontal), offset


def reach_of(ranges: Any, rows: int, cols: int) -> Reach:
    """Bounds on every `affine_matrix`, flips included, whose parameters are drawn from `ranges`."""
    theta, shear = (np.deg2rad(float(np.max(np.abs(degrees)))) for degrees in (ranges.theta, ranges.shear))
    turned, leaning = (np.sin(min(angle, np.pi / 2)) for angle in (theta, theta + shear))
    linear = float(np.max(np.abs(ranges.zoom))) * np.array([[1.0, turned], [leaning, 1.0]])
    # A shift acts before the rotation, and ty along rows.
    shift = np.array([[1.0, turned], [turned, 1.0]]) @ [np.max(np.abs(ranges.ty)), np.max(np.abs(ranges.tx))]
    # Keras' centre is that of the picture with its sides exchanged.
    beside = np.full(2, abs(rows - cols) / 2)
    return Reach(linear, shift + beside + linear @ beside)

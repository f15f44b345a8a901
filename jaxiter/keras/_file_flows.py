"""The generator's ways to pictures in files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .._warn import warn
from ._dataframe_iterator import DataFrameIterator
from ._directory_iterator import DirectoryIterator
from ._forked import takes_jax_arrays
from ._seed import Seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike

    from ._table import Frame

_DEPRECATED = {
    "has_ext": "the names in the table have to be those on the disk",
    "sort": "rows keep their order where shuffle is False",
    "drop_duplicates": "drop them first: dataframe.drop_duplicates()",
}


class FileFlows:
    """A part of `ImageDataGenerator`."""

    data_format: str
    dtype: DTypeLike

    @takes_jax_arrays
    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: Seed = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        *,
        rng: str | None = None,
        output: str = "numpy",
        exif: bool = False,
        skip_hidden: bool = False,
    ) -> DirectoryIterator:
        """An endless iterator over batches of pictures, with a folder for each class, see `DirectoryIterator`."""
        return DirectoryIterator(
            directory,
            self,
            target_size=target_size,
            color_mode=color_mode,
            classes=classes,
            class_mode=class_mode,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            follow_links=follow_links,
            subset=subset,
            interpolation=interpolation,
            keep_aspect_ratio=keep_aspect_ratio,
            dtype=self.dtype,
            rng=rng,
            output=output,
            exif=exif,
            skip_hidden=skip_hidden,
        )

    @takes_jax_arrays
    def flow_from_dataframe(
        self,
        dataframe: Frame,
        directory: str | os.PathLike[str] | None = None,
        x_col: str = "filename",
        y_col: str | list[str] = "class",
        weight_col: str | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: Seed = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        validate_filenames: bool = True,
        *,
        keep_aspect_ratio: bool = False,
        rng: str | None = None,
        output: str = "numpy",
        exif: bool = False,
        skip_hidden: bool = False,
        **kwargs: Any,
    ) -> DataFrameIterator:
        """An endless iterator over batches of pictures that a table names, see `DataFrameIterator`.

        Args:
            **kwargs: has_ext, sort and drop_duplicates, which are deprecated and have no effect. So is
                class_mode="other", which means "raw".

        Raises:
            TypeError: For any other keyword.
        """
        class_mode = _current(class_mode, kwargs)
        return DataFrameIterator(
            dataframe,
            directory,
            self,
            x_col=x_col,
            y_col=y_col,
            weight_col=weight_col,
            target_size=target_size,
            color_mode=color_mode,
            classes=classes,
            class_mode=class_mode,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            subset=subset,
            interpolation=interpolation,
            dtype=self.dtype,
            validate_filenames=validate_filenames,
            keep_aspect_ratio=keep_aspect_ratio,
            rng=rng,
            output=output,
            exif=exif,
            skip_hidden=skip_hidden,
        )


def _current(class_mode: str | None, keywords: dict[str, Any]) -> str | None:
    """The class mode in today's word; warns of what is deprecated, and refuses what nobody knows."""
    unknown = [name for name in keywords if name not in _DEPRECATED]
    if unknown:
        raise TypeError(f"flow_from_dataframe() got an unexpected keyword argument {unknown[0]!r}")
    for name in keywords:
        warn(f"{name} is deprecated and has no effect; {_DEPRECATED[name]}.", DeprecationWarning)
    if class_mode == "other":
        warn('class_mode="other" is deprecated; pass class_mode="raw".', DeprecationWarning)
    return "raw" if class_mode == "other" else class_mode

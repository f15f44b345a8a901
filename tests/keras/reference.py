"""The real thing: Keras 3's copy of the old module. Import `legacy` from here and from nowhere else."""

from keras.src.legacy.preprocessing import image as legacy
from keras.src.utils import image_utils

__all__ = ["image_utils", "legacy"]

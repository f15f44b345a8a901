"""Resampling an image along an affine map: coordinates, then taps, then interpolation."""

from ._affine_warp import FILL_MODES as FILL_MODES
from ._affine_warp import affine_warp as affine_warp
from ._affine_warp import as_image_size as as_image_size
from ._affine_warp import check_image as check_image
from ._affine_warp import check_image_shape as check_image_shape
from ._affine_warp import check_sampling as check_sampling
from ._affine_warp import resample as resample
from ._affine_warp import resample_on_host as resample_on_host
from ._affine_warp import resample_ragged as resample_ragged
from ._coordinates import FixedPoint as FixedPoint
from ._coordinates import MatrixBounds as MatrixBounds
from ._coordinates import matrix_bounds as matrix_bounds
from ._fill import fill_value as fill_value
from ._interpolate import StoredImage as StoredImage
from ._ragged_image import RaggedImage as RaggedImage
from ._ragged_image import is_static as is_static
from ._triangle import Window as Window
from ._triangle import resize_along as resize_along

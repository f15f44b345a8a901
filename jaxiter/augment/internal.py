"""What the other subpackages use of this one beside its public names."""

from ._cast import round_to as round_to
from ._duck_typed import TransformLike as TransformLike
from ._duck_typed import is_transform as is_transform
from ._duck_typed import is_transform_or_none as is_transform_or_none
from ._normalize import mean_of as mean_of
from ._rounded import rounded as rounded
from ._rounded import sine_cosine as sine_cosine
from ._rounded import sine_cosine_on_host as sine_cosine_on_host
from ._statistics import moments as moments
from ._statistics import whitening_bytes as whitening_bytes
from ._statistics import whitening_cost as whitening_cost
from ._statistics import whitening_matrix as whitening_matrix
from ._transform import arithmetic_dtype as arithmetic_dtype
from ._types import Values as Values
from ._warp import FILL_MODES as FILL_MODES
from ._warp import FixedPoint as FixedPoint
from ._warp import MatrixBounds as MatrixBounds
from ._warp import StoredImage as StoredImage
from ._warp import check_sampling as check_sampling
from ._warp import matrix_bounds as matrix_bounds
from ._warp import resample as resample
from ._warp import resample_on_host as resample_on_host

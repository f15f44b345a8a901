"""What happens to one example: transforms, affine maps and data statistics, all pure functions."""

from ._affine import Affine as Affine
from ._affine import AffineParams as AffineParams
from ._cast import Cast as Cast
from ._cast import Map as Map
from ._chain import Chain as Chain
from ._chain import deterministic as deterministic
from ._color import Brightness as Brightness
from ._color import ChannelShift as ChannelShift
from ._matrix import about_centre as about_centre
from ._matrix import compose as compose
from ._matrix import flip_matrix as flip_matrix
from ._matrix import rotation_matrix as rotation_matrix
from ._matrix import shear_matrix as shear_matrix
from ._matrix import shift_matrix as shift_matrix
from ._matrix import zoom_matrix as zoom_matrix
from ._normalize import Normalize as Normalize
from ._normalize import Rescale as Rescale
from ._normalize import SamplewiseNormalize as SamplewiseNormalize
from ._normalize import Whiten as Whiten
from ._statistics import Statistics as Statistics
from ._statistics import fit_statistics as fit_statistics
from ._transform import Transform as Transform
from ._warp import affine_warp as affine_warp

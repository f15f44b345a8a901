"""jaxiter: a functional data loader for JAX. Every batch is a pure function of (key, epoch, step)."""

from .augment import Affine as Affine
from .augment import AffineParams as AffineParams
from .augment import Brightness as Brightness
from .augment import Cast as Cast
from .augment import CenterCrop as CenterCrop
from .augment import Chain as Chain
from .augment import ChannelShift as ChannelShift
from .augment import Clip as Clip
from .augment import ColorJitter as ColorJitter
from .augment import Contrast as Contrast
from .augment import Cutout as Cutout
from .augment import Erase as Erase
from .augment import Grayscale as Grayscale
from .augment import Hue as Hue
from .augment import Map as Map
from .augment import Normalize as Normalize
from .augment import RandomCrop as RandomCrop
from .augment import RandomResizedCrop as RandomResizedCrop
from .augment import Rescale as Rescale
from .augment import Resize as Resize
from .augment import SamplewiseNormalize as SamplewiseNormalize
from .augment import Saturation as Saturation
from .augment import Statistics as Statistics
from .augment import Transform as Transform
from .augment import Whiten as Whiten
from .augment import about_centre as about_centre
from .augment import affine_warp as affine_warp
from .augment import compose as compose
from .augment import deterministic as deterministic
from .augment import fit_statistics as fit_statistics
from .augment import flip_matrix as flip_matrix
from .augment import rotation_matrix as rotation_matrix
from .augment import shear_matrix as shear_matrix
from .augment import shift_matrix as shift_matrix
from .augment import zoom_matrix as zoom_matrix
from .host import Stream as Stream
from .host import image_grid as image_grid
from .host import stream as stream
from .keras import ImageDataGenerator as ImageDataGenerator
from .keras import NumpyArrayIterator as NumpyArrayIterator
from .loader import Explanation as Explanation
from .loader import Loader as Loader
from .loader import MemoryEstimate as MemoryEstimate
from .loader import cutmix as cutmix
from .loader import explain as explain
from .loader import from_records as from_records
from .loader import mixup as mixup
from .loader import scan_epoch as scan_epoch
from .sampler import Split as Split
from .sampler import permutation as permutation
from .sampler import shuffled as shuffled
from .sampler import train_validation_split as train_validation_split

__version__ = "0.1.0"

__all__ = [
    "Affine",
    "AffineParams",
    "Brightness",
    "Cast",
    "CenterCrop",
    "Chain",
    "ChannelShift",
    "Clip",
    "ColorJitter",
    "Contrast",
    "Cutout",
    "Erase",
    "Explanation",
    "Grayscale",
    "Hue",
    "ImageDataGenerator",
    "Loader",
    "Map",
    "MemoryEstimate",
    "Normalize",
    "NumpyArrayIterator",
    "RandomCrop",
    "RandomResizedCrop",
    "Rescale",
    "Resize",
    "SamplewiseNormalize",
    "Saturation",
    "Split",
    "Statistics",
    "Stream",
    "Transform",
    "Whiten",
    "about_centre",
    "affine_warp",
    "compose",
    "cutmix",
    "deterministic",
    "explain",
    "fit_statistics",
    "flip_matrix",
    "from_records",
    "image_grid",
    "mixup",
    "permutation",
    "rotation_matrix",
    "scan_epoch",
    "shear_matrix",
    "shift_matrix",
    "shuffled",
    "stream",
    "train_validation_split",
    "zoom_matrix",
]

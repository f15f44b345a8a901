"""jaxiter: a functional data loader for JAX. Every batch is a pure function of (key, epoch, step)."""

from .augment import Affine as Affine
from .augment import AffineParams as AffineParams
from .augment import AutoContrast as AutoContrast
from .augment import Blur as Blur
from .augment import Boxes as Boxes
from .augment import Brightness as Brightness
from .augment import Cast as Cast
from .augment import CenterCrop as CenterCrop
from .augment import Chain as Chain
from .augment import ChannelShift as ChannelShift
from .augment import Clip as Clip
from .augment import ColorJitter as ColorJitter
from .augment import Contrast as Contrast
from .augment import Cutout as Cutout
from .augment import Equalize as Equalize
from .augment import Erase as Erase
from .augment import Frames as Frames
from .augment import Gamma as Gamma
from .augment import Grayscale as Grayscale
from .augment import Hue as Hue
from .augment import Invert as Invert
from .augment import Map as Map
from .augment import Mask as Mask
from .augment import Noise as Noise
from .augment import NoiseParams as NoiseParams
from .augment import Normalize as Normalize
from .augment import OneOf as OneOf
from .augment import Points as Points
from .augment import Posterize as Posterize
from .augment import RandAugment as RandAugment
from .augment import RandomCrop as RandomCrop
from .augment import RandomResizedCrop as RandomResizedCrop
from .augment import Rescale as Rescale
from .augment import Resize as Resize
from .augment import SamplewiseNormalize as SamplewiseNormalize
from .augment import Saturation as Saturation
from .augment import Sharpness as Sharpness
from .augment import Solarize as Solarize
from .augment import Sometimes as Sometimes
from .augment import Statistics as Statistics
from .augment import Transform as Transform
from .augment import TrivialAugment as TrivialAugment
from .augment import Views as Views
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
from .host import ImageFiles as ImageFiles
from .host import PackReport as PackReport
from .host import Stream as Stream
from .host import StreamStats as StreamStats
from .host import check_files as check_files
from .host import image_files as image_files
from .host import image_folder as image_folder
from .host import image_grid as image_grid
from .host import open_packed as open_packed
from .host import pack as pack
from .host import stream as stream
from .keras import ImageDataGenerator as ImageDataGenerator
from .keras import NumpyArrayIterator as NumpyArrayIterator
from .loader import Explanation as Explanation
from .loader import Loader as Loader
from .loader import MemoryEstimate as MemoryEstimate
from .loader import Ragged as Ragged
from .loader import cutmix as cutmix
from .loader import explain as explain
from .loader import from_records as from_records
from .loader import mixup as mixup
from .loader import scan_epoch as scan_epoch
from .sampler import Split as Split
from .sampler import balanced_weights as balanced_weights
from .sampler import permutation as permutation
from .sampler import shuffled as shuffled
from .sampler import train_validation_split as train_validation_split

__version__ = "0.1.0"

__all__ = [
    "Affine",
    "AffineParams",
    "AutoContrast",
    "Blur",
    "Boxes",
    "Brightness",
    "Cast",
    "CenterCrop",
    "Chain",
    "ChannelShift",
    "Clip",
    "ColorJitter",
    "Contrast",
    "Cutout",
    "Equalize",
    "Erase",
    "Explanation",
    "Frames",
    "Gamma",
    "Grayscale",
    "Hue",
    "ImageDataGenerator",
    "ImageFiles",
    "Invert",
    "Loader",
    "Map",
    "Mask",
    "MemoryEstimate",
    "Noise",
    "NoiseParams",
    "Normalize",
    "NumpyArrayIterator",
    "OneOf",
    "PackReport",
    "Points",
    "Posterize",
    "Ragged",
    "RandAugment",
    "RandomCrop",
    "RandomResizedCrop",
    "Rescale",
    "Resize",
    "SamplewiseNormalize",
    "Saturation",
    "Sharpness",
    "Solarize",
    "Sometimes",
    "Split",
    "Statistics",
    "Stream",
    "StreamStats",
    "Transform",
    "TrivialAugment",
    "Views",
    "Whiten",
    "about_centre",
    "affine_warp",
    "balanced_weights",
    "check_files",
    "compose",
    "cutmix",
    "deterministic",
    "explain",
    "fit_statistics",
    "flip_matrix",
    "from_records",
    "image_files",
    "image_folder",
    "image_grid",
    "mixup",
    "open_packed",
    "pack",
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

"""The names of `tf.keras.preprocessing.image` over the pure core: change the import, keep the script."""

from ._dataframe_iterator import DataFrameIterator as DataFrameIterator
from ._directory_iterator import DirectoryIterator as DirectoryIterator
from ._file_batch import BatchFromFilesMixin as BatchFromFilesMixin
from ._functions import apply_affine_transform as apply_affine_transform
from ._functions import apply_brightness_shift as apply_brightness_shift
from ._functions import apply_channel_shift as apply_channel_shift
from ._functions import flip_axis as flip_axis
from ._functions import random_brightness as random_brightness
from ._functions import random_channel_shift as random_channel_shift
from ._functions import random_rotation as random_rotation
from ._functions import random_shear as random_shear
from ._functions import random_shift as random_shift
from ._functions import random_zoom as random_zoom
from ._functions import transform_matrix_offset_center as transform_matrix_offset_center
from ._generator import ImageDataGenerator as ImageDataGenerator
from ._images import array_to_img as array_to_img
from ._images import img_to_array as img_to_array
from ._images import save_img as save_img
from ._iterator import Iterator as Iterator
from ._load_img import load_img as load_img
from ._numpy_iterator import NumpyArrayIterator as NumpyArrayIterator
from ._smart_resize import smart_resize as smart_resize

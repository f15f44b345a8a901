"""What the other subpackages use of this one beside its public names."""

from ._argument import check_loader as check_loader
from ._batch import DrawsAhead as DrawsAhead
from ._batch import batch_mask as batch_mask
from ._batch import compute_batch as compute_batch
from ._data import PyTree as PyTree
from ._data import Source as Source
from ._data import array_of as array_of
from ._data import is_resident as is_resident
from ._loader import spec_of as spec_of
from ._memory import check_streaming as check_streaming
from ._program import augment_rows as augment_rows
from ._program import step_key as step_key
from ._read import HostRows as HostRows
from ._read import read_batch as read_batch
from ._spec import BatchSpec as BatchSpec

"""What the other subpackages use of this one beside its public names."""

from ._data import is_resident as is_resident
from ._plan import check_streaming as check_streaming
from ._program import _augmented
from ._reading import reads as reads
from ._sharding import share_of as share_of

augment_rows = _augmented

"""What the other subpackages use of this one beside its public names."""

from ._file_errors import ImageFileError as ImageFileError
from ._file_errors import reason_of as reason_of
from ._file_listing import SUFFIXES as SUFFIXES
from ._in_threads import in_threads as in_threads
from ._packed_file import packed_metadata as packed_metadata
from ._prefetch import Pool as Pool
from ._prefetch import num_cores as num_cores
from ._save import save_whole as save_whole

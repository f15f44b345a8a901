"""What the other subpackages use of this one beside its public names."""

from ._file_errors import reason_of as reason_of
from ._prefetch import Pool as Pool
from ._prefetch import num_cores as num_cores
from ._save import save_whole as save_whole

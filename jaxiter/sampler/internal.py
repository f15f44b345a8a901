"""What the other subpackages use of this one beside its public names."""

from ._shuffle import check_size as check_size
from ._shuffle import order_on_host as order_on_host
from ._shuffle import shuffle_positions as shuffle_positions

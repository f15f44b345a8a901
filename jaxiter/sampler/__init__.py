"""Which example comes when: pure functions of (key, epoch, position)."""

from ._balance import balanced_weights as balanced_weights
from ._shuffle import permutation as permutation
from ._shuffle import shuffled as shuffled
from ._split import Split as Split
from ._split import train_validation_split as train_validation_split

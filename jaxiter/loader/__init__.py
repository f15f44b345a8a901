"""(key, epoch, step) -> batch: order and augmentation joined, pure."""

from .._ragged import Ragged as Ragged
from ._explain import Explanation as Explanation
from ._explain import explain as explain
from ._loader import Loader as Loader
from ._memory import MemoryEstimate as MemoryEstimate
from ._mixing import cutmix as cutmix
from ._mixing import mixup as mixup
from ._records import from_records as from_records
from ._scan import scan_epoch as scan_epoch

"""(key, epoch, step) -> batch: order and augmentation joined, pure."""

from ._explain import Explanation as Explanation
from ._explain import explain as explain
from ._loader import Loader as Loader
from ._scan import scan_epoch as scan_epoch

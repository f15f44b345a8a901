"""The commands of `python -m jaxiter`."""

from ._flags import with_both_sides as with_both_sides
from ._pack import add_pack as add_pack
from ._preview import add_preview as add_preview
from ._train import add_train as add_train

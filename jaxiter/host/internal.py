"""What the other subpackages use of this one beside its public names."""

from ._save import save_whole as save_whole

"""Settings that `with` blocks change for the calling thread alone: taken there, and put to use in another thread.

JAX keeps them in C++, one local value for each thread and setting. All of them are carried, those of JAX versions to
come and the meshes among them. The registry is private; where JAX has changed it, the settings that have a public
context manager are carried.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from contextvars import Context, copy_context
from typing import Any, NamedTuple, TypeVar

import jax

T = TypeVar("T")
SettingValues = tuple[Any, ...]  # one for each setting

# It names the thread that may start programs of several processes, which is the caller's and not ours.
_OF_ONE_THREAD = ("jax_thread_guard",)
_PUBLIC = (
    *("enable_x64", "default_device", "default_matmul_precision", "default_prng_impl", "threefry_partitionable"),
    *("numpy_dtype_promotion", "numpy_rank_promotion", "debug_nans", "debug_infs", "debug_key_reuse", "disable_jit"),
    *("transfer_guard_host_to_device", "transfer_guard_device_to_device", "transfer_guard_device_to_host"),
    *("check_tracer_leaks", "log_compiles"),
)


class _Registered:
    """Every setting of JAX, by its own registry.

    Raises:
        ImportError, AttributeError: Where JAX has no such registry.
    """

    def __init__(self) -> None:
        from jax._src import config, mesh

        kind: Any = config.config_ext.Config
        states = [state for name, state in config.config_states.items() if name not in _OF_ONE_THREAD]
        # The meshes, and what JAX derives from a setting; last, since setting that one sets these too. JAX 0.10 keeps
        # them in jax._src.config, and 0.12 in jax._src.mesh.
        modules = [module for name, module in list(sys.modules.items()) if name.startswith("jax._src.")]
        values = (value for module in modules for value in list(vars(module).values()))
        found = {id(value): value for value in values if isinstance(value, kind)}
        others = [value for value in found.values() if not isinstance(value, config.State)]
        self._settings: tuple[Any, ...] = (*states, *others)
        self._local, self._unset, self._meshes = kind.get_local, config.config_ext.unset, mesh.thread_resources
        self._none_set: SettingValues = (self._unset,) * len(self._settings)
        self._run(self.values(), lambda: None)

    def values(self) -> SettingValues:
        """Those of this thread; the last is the stack of meshes that were entered as `with mesh:`."""
        return (*map(self._local, self._settings), self._meshes.env)

    def run(self, values: SettingValues, function: Callable[[], T]) -> T:
        """In a thread that has changed no setting itself."""
        if values[:-1] == self._none_set and values[-1] is self._meshes.env:  # as nearly always
            return function()
        return self._run(values, function)

    def _run(self, values: SettingValues, function: Callable[[], T]) -> T:
        kept, stack = self.values(), self._meshes.stack
        try:
            self._set(values)
            self._meshes.stack = [*stack, values[-1]]
            return function()
        finally:
            self._set(kept)
            self._meshes.stack = stack

    def _set(self, values: SettingValues) -> None:
        for setting, value in zip(self._settings, values, strict=False):
            if setting.get_local() is value:
                continue
            setting.set_local(value)
            note = getattr(setting, "_update_thread_local_hook", None)  # what C++ has to know of it
            if note is not None:
                note(None if value is self._unset else value)
        self._meshes.env = values[-1]


class _Public:
    """The settings with a public context manager, by their names."""

    def values(self) -> SettingValues:
        values = [getattr(jax.config, f"jax_{name}", None) for name in _names()]
        return (*values, jax.sharding.get_mesh())

    def run(self, values: SettingValues, function: Callable[[], T]) -> T:
        own = self.values()
        if own == values:
            return function()
        with ExitStack() as stack:
            for name, value, present in zip(_names(), values, own, strict=False):
                if value != present:
                    stack.enter_context(getattr(jax, name)(value))
            if values[-1] != own[-1] and not values[-1].empty:
                stack.enter_context(jax.set_mesh(values[-1]))
            return function()


def _names() -> Iterable[str]:
    return (name for name in _PUBLIC if hasattr(jax, name))


def _known() -> _Registered | _Public:
    try:
        return _Registered()
    except (ImportError, AttributeError, TypeError):
        return _Public()


_settings = _known()


class ThreadSettings(NamedTuple):
    """JAX's settings in one thread, and the context variables of Python and NumPy there."""

    values: SettingValues
    context: Context

    @classmethod
    def current(cls) -> ThreadSettings:
        return cls(_settings.values(), copy_context())

    def run(self, function: Callable[..., T], *arguments: object) -> T:
        """`function(*arguments)`, in a thread that has changed no setting itself."""
        return self.context.copy().run(_settings.run, self.values, lambda: function(*arguments))

    def are_those_of(self, other: ThreadSettings) -> bool:
        """Whether JAX computes alike; a context variable may hold anything."""
        return self.values == other.values

"""Guards: whether what a message can read of its layer is as it was when it was recorded."""

from __future__ import annotations

import dis
import sys
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from functools import cached_property, partial
from operator import attrgetter, itemgetter
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ReferenceType

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn.conv import MessagePassing

from .tape import Refused

METHODS = ("message", "aggregate", "update", "edge_update")
_INTERNAL = frozenset(nn.Module().__dict__) - {"training"}
_OWN = frozenset(type("_Plain", (MessagePassing,), {})().__dict__) - {"training", "node_dim", "flow"}
_OWN |= {"_lowering", "_record"}  # which lowering runs, and notes of it
_LIBRARIES = {
    "torch",
    "torch_geometric",
    "torch_scatter",
    "torch_sparse",
    "graphgdl",
    "numpy",
    *sys.stdlib_module_names,
}
_LIBRARIES -= {"__main__"}
_OPAQUE = (int, float, complex, str, bytes, ModuleType, Tensor, torch.dtype, torch.device)
_CLASS_DETAILS = {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__qualname__"}
MOST_PLACES = 2000  # checks at each call
LARGEST_ARRAY = 4096  # bytes
_MUTABLE = list | dict | set | deque | bytearray
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_PARTS: dict[type, tuple[str, ...]] = {  # what is called, and with what, where a value is no plain function
    MethodType: ("__self__", "__func__"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget",),
    cached_property: ("func",),
    partial: ("func", "args", "keywords"),
}
Read = Callable[[Any], Any]


class _Held(Exception):
    """The message may get at the layer by another way than `self`, and so at modules that it was not seen to read."""


class Guard:
    """What a message may read of a layer; `holds` tells whether all of it is as it was.

    Seen are the attributes of the layer, of its modules and of the objects they hold; the contents of lists, dicts and
    sets; parameters, buffers and other tensors by shape, dtype, device and whether they need a gradient, and which of
    them are the same; hooks on modules; of classes, methods and functions that are not a library's (torch, PyG, Python's
    own): attributes, closures, and the globals they name, also in the user's modules; NumPy arrays. Not seen are the
    insides of other objects with neither `__dict__` nor `__slots__`.

    Args:
        layer: the layer; it is not kept alive by reference to itself.
        effects: (name of module, name of attribute) that the message sets to tensors: only their types are compared.
        read: the modules that the message gets at, by name, and which parameters and buffers of each it takes; the
            insides of the others are not watched. None for all.

    Raises:
        Refused: there is too much to look at, or a NumPy array of more than 4096 bytes.
    """

    def __init__(
        self,
        layer: MessagePassing,
        effects: Iterable[tuple[str, str]] = (),
        read: Mapping[str, Container[str]] | None = None,
    ) -> None:
        try:
            self._watch(layer, set(effects), read)
        except _Held:
            self._watch(layer, set(effects), None)

    def _watch(
        self, layer: MessagePassing, effects: set[tuple[str, str]], read: Mapping[str, Container[str]] | None
    ) -> None:
        self._checks: list[tuple[Read, Any, Any]] = []
        self._empty: list[Mapping[Any, Any]] = []  # hooks, and what else must stay so
        self._seen: set[int] = set()
        self._class = type(layer)
        self._check(attrgetter(*METHODS), self._class)
        registered = dict(layer.named_modules())
        self._tie(registered.values())
        self._registered = set(map(id, registered.values())) if read is not None else set()
        self._seen.update(map(id, registered.values()) if read is None else ())
        for path, module in registered.items():
            if read is None or path in read:
                own = {name for where, name in effects if where == path}
                self._module(path, module, own, None if read is None else read[path])
        del self._seen, self._registered

    def _check(self, read: Read, place: Any) -> Any:
        """Watch what `read` finds at a place, and return what it finds now."""
        if len(self._checks) >= MOST_PLACES:
            raise Refused("the layer refers to too many objects to watch them all")
        known = read(place)
        self._checks.append((read, place, known))
        return known

    def holds(self, layer: MessagePassing) -> bool:
        """Return whether nothing has changed."""
        if type(layer) is not self._class or any(self._empty):
            return False
        try:
            for read, place, known in self._checks:
                if read(place) != known:
                    return False
        except Exception:  # something is gone, or cannot be compared with what was there
            return False
        return True

    def _module(self, path: str | None, module: nn.Module, effects: set[str], read: Container[str] | None) -> None:
        own = module.__dict__
        hidden = _INTERNAL | effects | (_OWN if isinstance(module, MessagePassing) else frozenset())
        seen = [name for name in own if name not in hidden]
        attributes = [name for name in seen if type(own[name]) is Tensor]
        self._store(own, [name for name in seen if name not in attributes])
        self._store(module._modules, list(module._modules), follow=path is None)
        for name in effects:
            self._check(partial(_type_at, name), own)
        for store in (module._parameters, module._buffers):
            if store:
                self._check(tuple, store)
                self._check(partial(_signatures, [n for n in store if read is None or n in read]), store)
        if attributes:
            self._check(partial(_signatures, attributes), own)
        if path != "":
            self._check(type, module)
            self._empty += map(own.__getitem__, HOOKS)
        self._value(type(module))

    def _tie(self, modules: Iterable[nn.Module]) -> None:
        """Watch that tensors in several places stay the same: to the loops they are one input, found at the first place."""
        first: dict[int, tuple[Mapping[str, Any], str]] = {}
        for module in modules:
            for store in (module._parameters, module._buffers, module.__dict__):
                for name, tensor in store.items():
                    if isinstance(tensor, Tensor):
                        place = first.setdefault(id(tensor), (store, name))
                        if place[0] is not store or place[1] != name:
                            self._check(partial(_same, name, *place), store)

    def _store(self, store: Mapping[str, Any], names: list[str], follow: bool = True) -> None:
        """Watch these entries, that none is added, and what they hold."""
        if not store:
            self._empty.append(store)
            return
        self._check(len, store)
        values = self._check(_getter(names), store) if names else ()
        for value in values if follow else ():
            self._value(value)

    def _value(self, value: Any) -> None:
        if value is None or isinstance(value, _OPAQUE) or id(value) in self._seen:
            return
        if id(value) in self._registered:
            raise _Held
        self._seen.add(id(value))
        if isinstance(value, _MUTABLE | tuple | frozenset):
            if isinstance(value, _MUTABLE):
                self._check(type(value).copy, value)
            for item in value.values() if isinstance(value, dict) else value:
                self._value(item)
        elif isinstance(value, np.ndarray):
            if value.nbytes > LARGEST_ARRAY or value.dtype.hasobject or not value.flags.c_contiguous:
                raise Refused("it refers to a NumPy array that is too large to watch, not contiguous, or of objects")
            self._check(np.ndarray.tobytes, value)
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, nn.Module):  # not registered: its tensors may not be used, its attributes may
            self._module(None, value, set(), None)
        elif isinstance(value, type):
            for cls in value.__mro__:
                if not of_libraries(cls.__module__) and (cls is value or id(cls) not in self._seen):
                    self._seen.add(id(cls))
                    self._store(vars(cls), [name for name in vars(cls) if name not in _CLASS_DETAILS])
        elif isinstance(value, tuple(_PARTS)):
            for part in next(names for kind, names in _PARTS.items() if isinstance(value, kind)):
                self._value(getattr(value, part))
        elif isinstance(value, ReferenceType):
            self._value(value())
        elif not callable(getattr(value, "__get__", None)):
            if isinstance(getattr(value, "__dict__", None), dict):
                self._store(value.__dict__, list(value.__dict__))
            slots = [name for name in _slots(type(value)) if hasattr(value, name)]
            for held in self._check(_getter(slots, attrgetter), value) if slots else ():
                self._value(held)
            self._value(type(value))

    def _function(self, function: FunctionType) -> None:
        """Watch the globals that a function names, what it takes from the user's modules, its defaults and closure."""
        if of_libraries(function.__module__):
            return
        read, attributes, imported = _names(function.__code__)
        package = function.__globals__.get("__package__")
        modules = [sys.modules.get(name) or sys.modules.get(f"{package}.{name}") for name in sorted(imported)]
        spaces: list[tuple[Any, Any]] = [
            (function.__globals__, sorted(read)),
            *((vars(m), attributes) for m in modules if _is_a_users(m)),
        ]
        for space, named in spaces:
            names = [n for n in named if n in space]
            for value in self._check(_getter(names), space) if names else ():
                self._value(value)
                if _is_a_users(value) and all(vars(value) is not known for known, _ in spaces):
                    spaces.append((vars(value), attributes))
        self._value(function.__defaults__)
        self._value(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                (content,) = self._check(_contents, cell)
            except ValueError:  # not set yet
                continue
            self._value(content)


def _slots(cls: type) -> list[str]:
    """Return the attributes of objects of a user's class that are not in their `__dict__`."""
    names: list[str] = []
    for base in cls.__mro__:
        slots = () if of_libraries(base.__module__) else vars(base).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _getter(names: list[str], get: Callable[..., Read] = itemgetter) -> Read:
    """Return what takes `names` out of a place, always as a tuple, which compares by identity first."""
    if len(names) > 1:
        return get(*names)
    (only,) = map(get, names)
    return lambda place: (only(place),)


def _contents(cell: Any) -> tuple[Any]:
    return (cell.cell_contents,)


def _same(name: str, other: Mapping[str, Any], again: str, store: Mapping[str, Any]) -> bool:
    return store[name] is other[again]


def _type_at(name: str, store: Mapping[str, Any]) -> type:
    return type(store.get(name))


def _names(code: CodeType) -> tuple[set[str], set[str], set[str]]:
    """Return the names of globals that code reads, of attributes (and all other names), and of modules it imports."""
    read, attributes, imported = set[str](), set(code.co_names), set[str]()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            read.add(instruction.argval)
        elif instruction.opname == "IMPORT_NAME":
            imported.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _names(constant)
            read, attributes, imported = read | inner[0], attributes | inner[1], imported | inner[2]
    return read, attributes, imported


def _is_a_users(value: Any) -> bool:
    return isinstance(value, ModuleType) and not of_libraries(value.__name__)


def of_libraries(module: str | None) -> bool:
    """Whether code of this module is torch's, PyG's, Python's own or ours: it is known, and does not change."""
    return (module or "").partition(".")[0] in _LIBRARIES


def _signatures(names: Iterable[str], store: Mapping[str, Any]) -> list[Any]:
    return [_SIGNATURE(t) if type(t) in (nn.Parameter, Tensor) else type(t) for t in map(store.__getitem__, names)]


_SIGNATURE = attrgetter("__class__", "shape", "dtype", "device", "requires_grad")

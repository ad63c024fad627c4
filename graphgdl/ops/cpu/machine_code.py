"""Compile LLVM IR for this machine, and keep the object code on disk, and whatever else is worth keeping there."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

Function = Any
_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_lock = threading.Lock()
_engines: list[Any] = []


@cache
def _target() -> tuple[Any, str]:
    """Return the target machine, and a name of processor and LLVM for the cache."""
    import llvmlite
    import llvmlite.binding as llvm

    if hasattr(llvm, "initialize") and llvm.llvm_version_info[0] < 20:
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    if "+avx512f" in features:
        features += ",-prefer-256-bit"
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=3, jit=True)
    return machine, f"{llvmlite.__version__} {llvm.llvm_version_info} {machine.triple} {cpu} {features}"


@cache
def register_bits() -> int:
    """Return the width of this processor's vector registers."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return 512 if features.get("avx512f") else 256 if features.get("avx") else 128


def folder() -> Path:
    """Return the folder of the object code: `GRAPHGDL_CACHE`, or the user's cache folder."""
    given = os.environ.get("GRAPHGDL_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or str(Path.home() / ".cache")
    return Path(base) / "graphgdl"


def compiled(text: str, symbols: list[str]) -> list[Function]:
    """Return the functions `symbols` of an LLVM module, from the cache folder if they were compiled before."""
    with _lock:
        machine, name = _target()
        key = hashlib.sha256(f"{name}\n{text}".encode()).hexdigest()
        code = load(f"{key}.o")
        if code is None:
            code = _compile(machine, text)
            save(f"{key}.o", code)
        return _link(machine, code, symbols)


@cache
def address(text: str, symbol: str) -> int:
    """Return where a function lies that other compiled code calls."""
    (function,) = compiled(text, [symbol])
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def _compile(machine: Any, text: str) -> bytes:
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_unrolling = False
    options.slp_vectorization = False
    options.loop_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return machine.emit_object(module)


def _link(machine: Any, code: bytes, symbols: list[str]) -> list[Function]:
    import llvmlite.binding as llvm

    empty = llvm.parse_assembly("")
    empty.triple = machine.triple
    # an engine takes over its machine: each gets its own
    owned = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(empty, owned)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)  # as long as the process lives
    return [_PROTOTYPE(engine.get_function_address(s)) for s in symbols]


def load(name: str) -> bytes | None:
    """Return what is kept under `name`, None if there is nothing or it is damaged."""
    try:
        kept = (folder() / name).read_bytes()
    except OSError:
        return None
    digest, content = kept[:32], kept[32:]
    return content if hashlib.sha256(content).digest() == digest else None


def save(name: str, content: bytes) -> None:
    """Keep `content` under `name`; a folder that cannot be written is no error."""
    with contextlib.suppress(OSError):
        target = folder()
        target.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, target / name)
        except OSError:
            os.unlink(temporary)
            raise

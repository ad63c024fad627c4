"""The hot path: `message()` to a program, its derivatives, a schedule, and compiled loops over sorted rows."""

from graphgdl.compiler.message import Variant, compiled, run

__all__ = ["Variant", "compiled", "run"]

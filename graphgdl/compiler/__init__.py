"""The hot path: `message()` to a program, its derivatives, a schedule, and compiled loops over sorted rows."""

from graphgdl.compiler.message import Variant, again, compiled, run

__all__ = ["Variant", "again", "compiled", "run"]

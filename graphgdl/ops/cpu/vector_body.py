"""The body of one function of vectors as LLVM IR text: written as formulas, appended as instructions.

`Value` overloads the operators, `Body` has the rest: constants in every lane, intrinsics and their declarations,
selection, the bits of a number, polynomials, calls to the C library lane by lane. One lane means the scalar type.
No instruction carries a fast-math flag: the splittings of arguments would not survive `reassoc`, nor the special
values `nnan` and `ninf`. Contraction is asked for where it is harmless, by `llvm.fmuladd`; a step that is only right
with one rounding asks for `llvm.fma`, which a processor without the instruction takes from the C library.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from graphgdl.ops.cpu.polynomials import POLYNOMIALS


@dataclass(frozen=True)
class Format:
    """A floating-point format and the constants that the functions need in it."""

    real: str
    c_suffix: str  # what the C library appends to the names of its functions
    width: int
    mantissa: int
    bias: int
    ln2: tuple[float, float]  # the first part has enough trailing zeros for n * part to be exact
    half_pi: tuple[float, float, float]  # pi / 2 rounded, the rest rounded, the rest rounded
    exp_range: tuple[float, float]  # beyond: 0 and inf
    expm1_low: float  # below: -1
    tanh_high: float  # above: 1
    erf_high: float  # above: 1
    tiny: float  # below in magnitude: expm1(x) = x
    trig_limit: float
    root_half: int  # the bits of sqrt(1/2)

    @property
    def bits(self) -> str:
        """The integer type of the same width."""
        return f"i{self.width}"

    @property
    def suffix(self) -> str:
        """How LLVM names the format in overloads."""
        return f"f{self.width}"


FLOAT = Format(
    real="float",
    c_suffix="f",
    width=32,
    mantissa=23,
    bias=127,
    ln2=(0.693359375, -0.00021219444170128554),
    half_pi=(1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    exp_range=(-104.0, 89.0),
    expm1_low=-18.0,
    tanh_high=10.0,
    erf_high=3.95,
    tiny=2.0**-25,
    trig_limit=1e5,
    root_half=0x3F3504F3,
)
DOUBLE = Format(
    real="double",
    c_suffix="",
    width=64,
    mantissa=52,
    bias=1023,
    ln2=(0.6931471806019545, -4.2009150726810846e-11),
    half_pi=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
    exp_range=(-746.0, 710.0),
    expm1_low=-38.0,
    tanh_high=20.0,
    erf_high=5.95,
    tiny=2.0**-54,
    trig_limit=1e9,
    root_half=0x3FE6A09E667F3BCD,
)


class Value:
    """A value of the body under construction; operators append an instruction."""

    def __init__(self, body: Body, kind: str, operand: str) -> None:
        self.body, self.kind, self.operand = body, kind, operand

    def _binary(self, opcodes: dict[str, str], other: Value | float, swapped: bool = False) -> Value:
        other = self.body.value(other, self.kind)
        first, second = (other, self) if swapped else (self, other)
        code = f"{opcodes[self.kind]} {self.body.type(self.kind)} {first.operand}, {second.operand}"
        return self.body.emit(self.kind, code)

    def __add__(self, other: Value | float) -> Value:
        return self._binary({"real": "fadd", "bits": "add"}, other)

    def __sub__(self, other: Value | float) -> Value:
        return self._binary({"real": "fsub", "bits": "sub"}, other)

    def __rsub__(self, other: float) -> Value:
        return self._binary({"real": "fsub", "bits": "sub"}, other, swapped=True)

    def __mul__(self, other: Value | float) -> Value:
        return self._binary({"real": "fmul"}, other)

    def __rtruediv__(self, other: float) -> Value:
        return self._binary({"real": "fdiv"}, other, swapped=True)

    def __truediv__(self, other: Value | float) -> Value:
        return self._binary({"real": "fdiv"}, other)

    def __and__(self, other: Value | int) -> Value:
        return self._binary({"bits": "and"}, other)

    def __xor__(self, other: Value | int) -> Value:
        return self._binary({"bits": "xor"}, other)

    def __lshift__(self, other: int) -> Value:
        return self._binary({"bits": "shl"}, other)

    def __rshift__(self, other: int) -> Value:
        return self._binary({"bits": "ashr"}, other)  # keeps the sign

    def __neg__(self) -> Value:
        return self.body.emit("real", f"fneg {self.body.type('real')} {self.operand}")

    def _compare(self, predicate: str, other: float) -> Value:
        operand = self.body.value(other, self.kind).operand
        return self.body.emit("mask", f"{predicate} {self.body.type(self.kind)} {self.operand}, {operand}")

    def __lt__(self, other: float) -> Value:
        return self._compare("fcmp olt", other)

    def __gt__(self, other: float) -> Value:
        return self._compare("fcmp ogt", other)

    def equals(self, other: float) -> Value:
        """A mask: ordered and equal."""
        return self._compare({"real": "fcmp oeq", "bits": "icmp eq"}[self.kind], other)


class Body:
    """The instructions of one function of vectors, in the order in which they were asked for."""

    def __init__(self, function: str, lanes: int, form: Format) -> None:
        self.function, self.lanes, self.form = function, lanes, form
        self.lines: list[str] = []
        self.helpers = ""
        self.declarations: set[str] = set()

    def type(self, kind: str) -> str:
        """The LLVM type of a `real`, `bits` or `mask` value."""
        scalar = {"real": self.form.real, "bits": self.form.bits, "mask": "i1"}[kind]
        return scalar if self.lanes == 1 else f"<{self.lanes} x {scalar}>"

    def value(self, value: Value | float, kind: str = "real") -> Value:
        """A value as it is, a number as a constant in every lane."""
        if isinstance(value, Value):
            return value
        if kind == "bits":
            text = str(value)
        else:  # LLVM spells a float, too, by the bits of the double of the same value
            rounded = struct.unpack("<f", struct.pack("<f", value))[0] if self.form.real == "float" else value
            text = f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"
        scalar = self.form.real if kind == "real" else self.form.bits
        return Value(self, kind, text if self.lanes == 1 else f"<{', '.join([f'{scalar} {text}'] * self.lanes)}>")

    def emit(self, kind: str, code: str) -> Value:
        """Append an instruction; its result."""
        operand = f"%v{len(self.lines)}"
        self.lines.append(f"  {operand} = {code}")
        return Value(self, kind, operand)

    def intrinsic(self, name: str, *arguments: Value | float) -> Value:
        """`llvm.<name>` of reals."""
        real = self.type("real")
        overload = self.form.suffix if self.lanes == 1 else f"v{self.lanes}{self.form.suffix}"
        self.declarations.add(f"declare {real} @llvm.{name}.{overload}({', '.join([real] * len(arguments))})")
        operands = ", ".join(f"{real} {self.value(a).operand}" for a in arguments)
        return self.emit("real", f"call {real} @llvm.{name}.{overload}({operands})")

    def fma(self, a: Value | float, b: Value | float, c: Value | float) -> Value:
        """a * b + c, rounded once where the processor can."""
        return self.intrinsic("fmuladd", a, b, c)

    def abs(self, x: Value) -> Value:
        """The magnitude."""
        return self.intrinsic("fabs", x)

    def select(self, mask: Value, yes: Value | float, no: Value | float) -> Value:
        """`yes` where the mask holds, else `no`."""
        types, kind = self.type("mask"), self.type("real")
        operands = f"{kind} {self.value(yes).operand}, {kind} {self.value(no).operand}"
        return self.emit("real", f"select {types} {mask.operand}, {operands}")

    def clamp(self, x: Value, low: float, high: float) -> Value:
        """Limit to [low, high]; nan stays nan."""
        x = self.select(x > high, high, x)
        return self.select(x < low, low, x)

    def to_bits(self, x: Value) -> Value:
        """The bits of a real as an integer."""
        return self.emit("bits", f"bitcast {self.type('real')} {x.operand} to {self.type('bits')}")

    def to_real(self, x: Value) -> Value:
        """The real that has these bits."""
        return self.emit("real", f"bitcast {self.type('bits')} {x.operand} to {self.type('real')}")

    def convert(self, n: Value) -> Value:
        """An integer as a real number of the same value."""
        return self.emit("real", f"sitofp {self.type('bits')} {n.operand} to {self.type('real')}")

    def round(self, x: Value, factor: float, offset: int = 0) -> tuple[Value, Value]:
        """The integer n nearest to x * factor, as a real number, and n + offset in the low bits (not in the high)."""
        magic = 1.5 * 2.0**self.form.mantissa + offset  # numbers of this size have no fraction
        shifted = self.fma(x, factor, magic)
        return shifted - magic, self.to_bits(shifted)

    def exponent(self, bits: Value) -> Value:
        """2^n from n + bias in the low bits; 0 from 0."""
        return self.to_real(bits << self.form.mantissa)

    def flip_sign(self, x: Value, bits: Value) -> Value:
        """Negate x where the highest of `bits` is set."""
        return self.to_real(self.to_bits(x) ^ (bits & -(1 << (self.form.width - 1))))

    def c_where(self, mask: Value, y: Value, name: str, x: Value) -> Value:
        """y, but where the mask holds the C library's function of x; its code is passed over if it holds nowhere."""
        helper, real = f"{self.function}_library", self.type("real")
        self.helpers += self.c_function(helper, name, 1)
        anywhere = mask.operand
        if self.lanes > 1:
            declared = f"i1 @llvm.vector.reduce.or.v{self.lanes}i1"
            self.declarations.add(f"declare {declared}({self.type('mask')})")
            anywhere = self.emit("mask", f"call {declared}({self.type('mask')} {mask.operand})").operand
        self.lines += [f"  br i1 {anywhere}, label %outside, label %done", "outside:"]
        exact = self.select(mask, self.emit("real", f"call {real} @{helper}({real} {x.operand})"), y)
        self.lines += ["  br label %done", "done:"]
        return self.emit("real", f"phi {real} [ {y.operand}, %entry ], [ {exact.operand}, %outside ]")

    def c_function(self, function: str, name: str, arguments: int) -> str:
        """A function that calls the C library for one lane after the other."""
        scalar, real, names = self.form.real, self.type("real"), ("%x", "%y")[:arguments]
        called = f"{scalar} @{name}{self.form.c_suffix}"
        self.declarations.add(f"declare {called}({', '.join([scalar] * arguments)})")
        parameters = ", ".join(f"{real} {a}" for a in names)
        lines = [f"define internal {real} @{function}({parameters}) noinline nounwind {{"]
        if self.lanes == 1:
            lines += [f"  %r = call {called}({parameters})", f"  ret {real} %r"]
        else:
            result = "poison"
            for lane in range(self.lanes):
                lines += [f"  {a}{lane} = extractelement {real} {a}, i32 {lane}" for a in names]
                lines.append(f"  %c{lane} = call {called}({', '.join(f'{scalar} {a}{lane}' for a in names)})")
                lines.append(f"  %r{lane} = insertelement {real} {result}, {scalar} %c{lane}, i32 {lane}")
                result = f"%r{lane}"
            lines.append(f"  ret {real} {result}")
        return "\n".join([*lines, "}\n"])

    def polynomial(self, name: str, x: Value) -> Value:
        """`POLYNOMIALS[name]` by Estrin's scheme: pairs of coefficients are polynomials in x^2."""
        terms: list[Value | float] = list(POLYNOMIALS[name][self.form is DOUBLE].coefficients)
        while len(terms) > 1:
            pairs = zip(terms[0::2], terms[1::2])
            terms = [*(self.fma(high, x, low) for low, high in pairs), *terms[len(terms) // 2 * 2 :]]
            x = x * x
        return self.value(terms[0])

"""Vector functions against NumPy in a wider format, in units in the last place; every lane count gives the same bits."""

from __future__ import annotations

import ctypes
import functools
import math
import re
from collections.abc import Callable

import llvmlite.binding as llvm
import numpy as np
import pytest
from scipy import special

from graphgdl.ops.cpu.polynomials import POLYNOMIALS
from graphgdl.ops.cpu.vector_math import ARGUMENTS, definition, symbol

LANES = (1, 3, 8, 16, 33, 64)
VECTOR = ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "sin", "cos", "erf")
LIBRARY = tuple(name for name in ARGUMENTS if name not in VECTOR)
DTYPES = {False: np.dtype(np.float32), True: np.dtype(np.float64)}
TRIG_LIMIT = {False: 1e5, True: 1e9}
Wide = np.longdouble
WIDE = np.finfo(Wide).nmant >= 60  # elsewhere the oracle of float64 is float64 and its own error counts

both = pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])


def loop(name: str, lanes: int, double: bool) -> str:
    """`void loop_<name>(a, b, out, n)` for n a multiple of the lanes: out = function(a), or of a and b."""
    scalar, size = ("double", 8) if double else ("float", 4)
    vector = scalar if lanes == 1 else f"<{lanes} x {scalar}>"
    arguments = f"{vector} %x" + (f", {vector} %y" if ARGUMENTS[name] == 2 else "")
    return f"""
define void @loop_{name}(ptr %a, ptr %b, ptr noalias %out, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %pa = getelementptr {scalar}, ptr %a, i64 %i
  %pb = getelementptr {scalar}, ptr %b, i64 %i
  %po = getelementptr {scalar}, ptr %out, i64 %i
  %x = load {vector}, ptr %pa, align {size}
  %y = load {vector}, ptr %pb, align {size}
  %r = call {vector} @{symbol(name, lanes, double)}({arguments})
  store {vector} %r, ptr %po, align {size}
  %next = add i64 %i, {lanes}
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}}
"""


@functools.cache
def engine(lanes: int, double: bool, generic: bool = False) -> llvm.ExecutionEngine:
    """All functions in one module, for this processor or for the least of its kind (on x86-64: without fma)."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    texts, declarations = zip(*(definition(name, lanes, double) for name in ARGUMENTS))
    loops = [loop(name, lanes, double) for name in ARGUMENTS]
    module = llvm.parse_assembly("\n".join([*sorted(frozenset().union(*declarations)), *texts, *loops]))
    module.verify()
    features = "" if generic else llvm.get_host_cpu_features().flatten()
    machine = llvm.Target.from_default_triple().create_target_machine(
        opt=3, cpu="" if generic else llvm.get_host_cpu_name(), features=features, jit=True
    )
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    compiled = llvm.create_mcjit_compiler(module, machine)
    compiled.finalize_object()
    return compiled


def evaluate(
    name: str, x: np.ndarray, y: np.ndarray | None = None, lanes: int = 16, generic: bool = False
) -> np.ndarray:
    double = x.dtype == np.float64
    padded = -(-max(x.size, 1) // lanes) * lanes  # the loop runs at least once
    a, b, out = np.ones((3, padded), x.dtype)
    a[: x.size], b[: x.size] = x, x if y is None else y
    address = engine(lanes, double, generic).get_function_address(f"loop_{name}")
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(address)
    function(a.ctypes.data, b.ctypes.data, out.ctypes.data, padded)
    return out[: x.size]


def wide_erf(x: np.ndarray) -> np.ndarray:
    """exp(-x^2) times a power series of positive terms (DLMF 7.6.2), in the wide format."""
    a = np.minimum(np.abs(x), Wide(7))
    term = total = 2 * a / np.sqrt(Wide(np.pi) + Wide(1.2246467991473532e-16))
    for n in range(1, 250):
        term = term * (2 * a * a / (2 * n + 1))
        total = total + term
    return np.copysign(np.where(a < 7, total * np.exp(-a * a), 1), x)


ORACLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **{name: getattr(np, name) for name in VECTOR if hasattr(np, name)},
    "sigmoid": lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))),
    "erf": wide_erf if WIDE else special.erf,
}


def unit(x: np.ndarray) -> np.ndarray:
    """The distance from x to the next number, from the largest to the one before it."""
    return np.spacing(np.minimum(np.abs(x), np.nextafter(np.finfo(x.dtype).max, x.dtype.type(0))))


def ulps(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|got - exact| in units in the last place of exact; inf where one of them is nan or infinite and the other not."""
    with np.errstate(over="ignore"):
        rounded = exact.astype(got.dtype)
    error = np.abs(got.astype(Wide) - exact) / unit(rounded)
    special_value = ~np.isfinite(rounded) | ~np.isfinite(got)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(special_value, np.where(same, 0, np.inf), error)


def arguments(double: bool, n: int) -> np.ndarray:
    """Numbers of every magnitude and sign, subnormal ones too, more of them where the functions are not trivial."""
    rng = np.random.default_rng(0)
    dtype, integer = DTYPES[double], np.uint64 if double else np.uint32
    bits = rng.integers(0, np.iinfo(integer).max, n, dtype=integer).view(dtype)
    near = [rng.uniform(-s, s, n) for s in (1e-3, 0.5, 2.0, 10.0, 100.0, 800.0, 1e4)]
    near += [1 + rng.uniform(-1, 1, n) * 10.0 ** rng.uniform(-8, 0, n)]  # the zero of log
    near += [np.rint(rng.uniform(-6e3, 6e3, n)) * (np.pi / 2)]  # the zeros of sin and cos
    return np.concatenate([bits[np.isfinite(bits)], *near]).astype(dtype)


def within_domain(name: str, x: np.ndarray) -> np.ndarray:
    if name in ("sin", "cos"):
        return x[np.abs(x) <= TRIG_LIMIT[x.dtype == np.float64]]
    return x


def bound(double: bool) -> float:
    return 2.0 if WIDE or not double else 3.0


@both
@pytest.mark.parametrize("name", VECTOR)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of overflow and logarithms of negative numbers
def test_error_is_below_two_units_in_the_last_place(name: str, double: bool) -> None:
    x = within_domain(name, arguments(double, 10_000 if name == "erf" else 100_000))
    error = ulps(evaluate(name, x), ORACLES[name](x.astype(Wide)))
    worst = int(np.argmax(error))
    assert error[worst] < bound(double), f"{name}({x[worst]!r}) is wrong by {error[worst]:.3g} ulp"
    assert np.max(error) > 0.4  # not the oracle itself


@both
@pytest.mark.parametrize("name", VECTOR)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_processor_without_fma_loses_at_most_one_more_unit(name: str, double: bool) -> None:
    x = within_domain(name, arguments(double, 5_000))
    assert np.max(ulps(evaluate(name, x, lanes=8, generic=True), ORACLES[name](x.astype(Wide)))) < bound(double) + 1


INF, NAN = math.inf, math.nan
SPECIAL = {  # name -> (argument, value), exactly
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (800.0, INF), (-800.0, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (800.0, INF), (-800.0, -1.0), (1e-30, 1e-30)],
    "log": [(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (INF, INF), (-INF, NAN), (-1e-30, NAN)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-1.5, NAN), (INF, INF), (-INF, NAN), (1e-30, 1e-30)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (25.0, 1.0), (-25.0, -1.0), (1e-30, 1e-30)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (800.0, 1.0), (-800.0, 0.0)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (1e-30, 1e-30)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN), (1e-30, 1.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (7.0, 1.0), (-7.0, -1.0)],
}


@both
@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", VECTOR)
def test_special_values(name: str, lanes: int, double: bool) -> None:
    x, expected = np.array([*SPECIAL[name], (NAN, NAN)], DTYPES[double]).T
    got = evaluate(name, x, lanes=lanes)
    np.testing.assert_array_equal(got, expected)
    defined = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got)[defined], np.signbit(expected)[defined])


@both
@pytest.mark.parametrize("name", VECTOR)
def test_every_lane_and_every_number_of_lanes_gives_the_same_bits(name: str, double: bool) -> None:
    x = np.concatenate([arguments(double, 150), np.array([0, -0.0, INF, -INF, NAN, 3e5, 1e10], DTYPES[double])])
    x = np.random.default_rng(1).permutation(x)  # arguments of the slow path beside those of the fast one
    expected = evaluate(name, x, lanes=1).tobytes()
    for lanes in LANES[1:]:
        assert evaluate(name, x, lanes=lanes).tobytes() == expected, lanes


@both
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_arguments_beyond_the_reduction_are_still_right(name: str, double: bool) -> None:
    rng = np.random.default_rng(2)
    x = (TRIG_LIMIT[double] * 10.0 ** rng.uniform(-0.5, 9, 5_000)).astype(DTYPES[double])
    x *= rng.choice([-1, 1], x.size).astype(x.dtype)
    assert np.max(ulps(evaluate(name, x), ORACLES[name](x.astype(Wide)))) < bound(double)


@both
def test_limits_of_the_range(double: bool) -> None:
    """Neither inf before the largest number nor zero before the smallest; every power of two is seen."""
    dtype = DTYPES[double]
    info = np.finfo(dtype)
    tops = np.log(np.array([info.max, info.tiny, info.smallest_subnormal], Wide)).astype(dtype)
    x = np.concatenate(
        [np.nextafter(tops, dtype.type(0)), tops, np.arange(-103 if not double else -744, 709, 0.5, dtype)]
    )
    x = x[x <= tops[0]]
    got = evaluate("exp", x)
    assert np.all(got > 0)
    assert np.max(ulps(got, np.exp(x.astype(Wide)))) < 2
    powers = np.ldexp(dtype.type(1), np.arange(int(np.log2(info.smallest_subnormal)), info.maxexp)).astype(dtype)
    assert np.max(ulps(evaluate("log", powers), np.log(powers.astype(Wide)))) < bound(double)


@both
@pytest.mark.parametrize("name", LIBRARY)
def test_functions_of_the_c_library(name: str, double: bool) -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(-0.99, 0.99, 200).astype(DTYPES[double])
    y = rng.uniform(-3, 3, x.size).astype(x.dtype)
    if name in ("pow", "acosh"):
        x = x + 2
    scipy_names = {"erfc": special.erfc, "lgamma": special.gammaln}
    numpy_names = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "pow": "power"}
    numpy_names |= {f"a{f}h": f"arc{f}h" for f in ("sin", "cos", "tan")}
    oracle = scipy_names.get(name) or getattr(np, numpy_names.get(name, name))
    exact = oracle(*np.array([x, y][: ARGUMENTS[name]], np.float64))
    for lanes in LANES:
        np.testing.assert_allclose(evaluate(name, x, y, lanes=lanes), exact, rtol=1e-14 if double else 5e-7, atol=1e-15)


APPROXIMATED: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    # x, values of the polynomial (in its own variable) -> approximation, function
    "exp": lambda x, p: (x + x * x * p(x), np.expm1(x)),
    "log": lambda x, p: (x - x * x / 2 + x**3 * p(x), np.log1p(x)),
    "sin": lambda x, p: (x + x**3 * p(x * x), np.sin(x)),
    "cos": lambda x, p: (1 - x * x / 2 + x**4 * p(x * x), np.cos(x)),
    "erf": lambda x, p: (x + x * p(x * x), wide_erf(x)),
    "log_erfc": lambda x, p: (1 - np.exp(p(x)), wide_erf(x)),
}


@both
@pytest.mark.skipif(not WIDE, reason="needs a format wider than float64")
@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_have_the_error_that_they_state(name: str, double: bool) -> None:
    polynomial = POLYNOMIALS[name][double]
    coefficients = np.array(polynomial.coefficients, Wide)
    assert np.array_equal(coefficients, coefficients.astype(DTYPES[double]))
    x = np.linspace(*map(Wide, polynomial.interval), 20_000)
    x = x[np.abs(x) > 1e-4]
    got, exact = APPROXIMATED[name](x, lambda z: np.polynomial.polynomial.polyval(z, coefficients))
    error = np.max(np.abs(got / exact - 1))
    rounding = 4 * np.finfo(Wide).eps
    assert error < polynomial.error + rounding
    assert error > 0.5 * polynomial.error - rounding  # the statement is no exaggeration


@pytest.mark.slow
@pytest.mark.parametrize("name", VECTOR)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_fifteenth_float(name: str) -> None:
    """Against NumPy in float64, whose own error does not count in float32."""
    oracle = special.erf if name == "erf" else ORACLES[name]
    for numbers in np.split(np.arange(0, 2**32, 15, dtype=np.uint32)[: 2**28], 32):
        x = within_domain(name, numbers.view(np.float32))
        exact, got = oracle(x.astype(np.float64)), evaluate(name, x)
        rounded = exact.astype(np.float32)
        good = np.abs(got - exact) < 2.0 * unit(rounded)
        good |= (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        assert np.all(good), f"{name}({x[~good][0]!r}) gave {got[~good][0]!r}, expected {exact[~good][0]!r}"


@both
def test_no_fast_math_and_one_symbol_per_definition(double: bool) -> None:
    for name in ARGUMENTS:
        text, declarations = definition(name, 16, double)
        assert not re.search(r"\b(fast|nnan|ninf|nsz|arcp|contract|afn|reassoc)\b", text)
        assert f"@{symbol(name, 16, double)}(" in text.splitlines()[0]
        assert all(line.startswith("declare ") for line in declarations)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`name` must be one of exp, .*, got 'silu'; compose it"):
        definition("silu", 16, double=False)


@pytest.mark.parametrize("lanes", [0, 65])
def test_lanes_out_of_range_are_refused(lanes: int) -> None:
    with pytest.raises(ValueError, match=rf"`lanes` must be from 1 to 64, got {lanes}; split the vector"):
        symbol("exp", lanes, double=False)

r"""The arithmetic of colour refinement: colours are 64-bit words, multisets are wrap-around sums.

A colour is a ``uint64``. A multiset of colours is the sum modulo :math:`2^{64}` of their mixed values, a multiset of
pairs is the sum of products of two independent mixes, so that a round of refinement is a sparse or dense matrix
product modulo :math:`2^{64}`. All functions are invariant by construction: no value depends on the order of the
vertices. Two different inputs give one word with a probability of order :math:`2^{-64}` (the mixes taken as random
functions), so a collision may hide a difference and never invents one.

The module imports numba and compiles on first use (cached on disk); import it where it is used. Every loop releases
the GIL, so threads run rounds of different graphs side by side.
"""

import numpy as np
from numba import njit, vectorize

_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_STEP, _ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@njit(inline="always")
def _mix(z):  # type: ignore[no-untyped-def]
    z = z + _STEP
    z = (z ^ (z >> _S30)) * _M1
    z = (z ^ (z >> _S27)) * _M2
    return z ^ (z >> _S31)


@njit(inline="always")
def _pair(a, b):  # type: ignore[no-untyped-def]
    return _mix(_mix(a) + b * _ODD)


@vectorize(["uint64(uint64)"], cache=True)
def mix(a):  # type: ignore[no-untyped-def]
    """A bijection of 64-bit words that looks random (the finaliser of SplitMix64), elementwise."""
    return _mix(a)


@vectorize(["uint64(uint64, uint64)"], cache=True)
def pair(a, b):  # type: ignore[no-untyped-def]
    """The hash of the ordered pair (a, b), elementwise with broadcasting."""
    return _pair(a, b)


@njit(nogil=True, cache=True)
def matmul(a, b):  # type: ignore[no-untyped-def]
    """a @ b modulo 2^64 for C-contiguous uint64 matrices (n, k) and (k, m)."""
    n, k = a.shape
    m = b.shape[1]
    out = np.zeros((n, m), np.uint64)
    for i in range(n):
        row = out[i]
        for x in range(k):
            w = a[i, x]
            other = b[x]
            for j in range(m):
                row[j] += w * other[j]
    return out


@njit(nogil=True, cache=True)
def neighbour_sum(indptr, indices, x):  # type: ignore[no-untyped-def]
    """out[v] = sum of x[u] over the neighbours u of v, modulo 2^64; CSR rows, x (n, m) uint64."""
    out = np.zeros_like(x)
    for v in range(indptr.shape[0] - 1):
        row = out[v]
        for e in range(indptr[v], indptr[v + 1]):
            other = x[indices[e]]
            for j in range(x.shape[1]):
                row[j] += other[j]
    return out


@njit(nogil=True, cache=True)
def triple_round(c):  # type: ignore[no-untyped-def]
    """One round of 3-FWL on colours (n, n, n): see `graphgdl.expressivity.oracles.fwl`.

    out[u, v, w] = pair(c[u, v, w], sum_x f(c[u, v, x]) g(c[u, w, x]) c[v, w, x]); f, g are two rotations.
    """
    n = c.shape[0]
    out = np.empty_like(c)
    for u in range(n):
        for v in range(n):
            uv = c[u, v]
            for w in range(n):
                uw = c[u, w]
                vw = c[v, w]
                total = np.uint64(0)
                for x in range(n):
                    f = (uv[x] << np.uint64(23)) | (uv[x] >> np.uint64(41))
                    g = (uw[x] << np.uint64(43)) | (uw[x] >> np.uint64(21))
                    total += f * g * vw[x]
                out[u, v, w] = _pair(c[u, v, w], total)
    return out


@njit(nogil=True, cache=True)
def local_triple_round(indptr, indices, c, mixed):  # type: ignore[no-untyped-def]
    """Refine colours (n, n, n) of triples by the three multisets with one coordinate replaced by its neighbours.

    `mixed` is mix(c); CSR rows `indptr`, `indices`. Returns the new colours.
    """
    n = c.shape[0]
    out = np.empty_like(c)
    first, second = np.empty(n, np.uint64), np.empty(n, np.uint64)
    for u in range(n):
        for v in range(n):
            first[:] = 0
            second[:] = 0
            for e in range(indptr[u], indptr[u + 1]):
                row = mixed[indices[e], v]
                for w in range(n):
                    first[w] += row[w]
            for e in range(indptr[v], indptr[v + 1]):
                row = mixed[u, indices[e]]
                for w in range(n):
                    second[w] += row[w]
            row = mixed[u, v]
            for w in range(n):
                third = np.uint64(0)
                for e in range(indptr[w], indptr[w + 1]):
                    third += row[indices[e]]
                out[u, v, w] = _pair(_pair(_pair(c[u, v, w], first[w]), second[w]), third)
    return out


@njit(nogil=True, cache=True)
def hop_distances(indptr, indices):  # type: ignore[no-untyped-def]
    """Lengths of shortest paths (n, n) int64, -1 where there is none; breadth first from every vertex."""
    n = indptr.shape[0] - 1
    out = np.full((n, n), -1, np.int64)
    queue = np.empty(n, np.int64)
    for s in range(n):
        row = out[s]
        row[s] = 0
        queue[0] = s
        head, tail = 0, 1
        while head < tail:
            v = queue[head]
            head += 1
            for e in range(indptr[v], indptr[v + 1]):
                u = indices[e]
                if row[u] < 0:
                    row[u] = row[v] + 1
                    queue[tail] = u
                    tail += 1
    return out


@njit(nogil=True, cache=True)
def refine_rows(indptr, indices, colours):  # type: ignore[no-untyped-def]
    """Refine each row of `colours` (m, n), a colouring of one graph, by 1-WL in place until it is stable.

    Returns (m,) uint64: the hash of the row's multiset of final colours and its number of rounds.
    """
    m, n = colours.shape
    out = np.empty(m, np.uint64)
    mixed = np.empty(n, np.uint64)
    size = 4
    while size < 2 * n:
        size *= 2
    table, stamp = np.zeros(size, np.uint64), np.full(size, -1, np.int64)
    now = 0
    for i in range(m):
        c = colours[i]
        before, rounds = -1, 0
        while True:
            count = 0
            for v in range(n):  # count the different colours in a hash table; `now` marks the slots in use
                slot = np.int64(c[v] & np.uint64(size - 1))
                while stamp[slot] == now and table[slot] != c[v]:
                    slot = (slot + 1) & (size - 1)
                if stamp[slot] != now:
                    stamp[slot], table[slot] = now, c[v]
                    count += 1
                mixed[v] = _mix(c[v])
            now += 1
            if count == before:
                break
            before = count
            rounds += 1
            for v in range(n):
                total = np.uint64(0)
                for e in range(indptr[v], indptr[v + 1]):
                    total += mixed[indices[e]]
                c[v] = _pair(c[v], total)
        out[i] = _pair(mixed.sum(), np.uint64(rounds))
    return out


@njit(nogil=True, cache=True)
def smallest_cells(colours):  # type: ignore[no-untyped-def]
    """Size and colour of each row's smallest class of two or more vertices, rows of `colours` (m, n).

    The smallest colour among classes of one size; size 0 if every class is a singleton.
    """
    m, n = colours.shape
    sizes, cells = np.zeros(m, np.int64), np.zeros(m, np.uint64)
    for i in range(m):
        row = np.sort(colours[i])
        start = 0
        for v in range(1, n + 1):
            if v == n or row[v] != row[start]:
                size = v - start
                if size > 1 and (sizes[i] == 0 or size < sizes[i]):
                    sizes[i], cells[i] = size, row[start]
                start = v
    return sizes, cells


@njit(nogil=True, cache=True)
def individualise(colours, sizes, cells):  # type: ignore[no-untyped-def]
    """For each row of `colours` and each vertex of its cell, the row with that vertex given a colour of its own.

    Returns (children, n) colours in the order of the rows, as `sizes` and `cells` of `smallest_cells` say.
    """
    m, n = colours.shape
    out = np.empty((sizes.sum(), n), np.uint64)
    child = 0
    for i in range(m):
        if sizes[i] == 0:
            continue
        for v in range(n):
            if colours[i, v] == cells[i]:
                out[child] = colours[i]
                out[child, v] = _pair(cells[i], np.uint64(1))
                child += 1
    return out


def same_partition(old: np.ndarray, new: np.ndarray) -> bool:
    """Whether `new`, a refinement of the colouring `old` of the same shape, has split none of its classes."""
    return bool(_is_function(np.ascontiguousarray(old).reshape(-1), np.ascontiguousarray(new).reshape(-1)))


@njit(nogil=True, cache=True)
def _is_function(old, new):  # type: ignore[no-untyped-def]
    """Whether old[i] = old[j] implies new[i] = new[j]; leaves at the first pair that denies it.

    A hash table (open addressing, doubled when half full) holds for each old colour the first place where it occurs.
    """
    table = np.full(64, -1, np.int64)
    count = 0
    for i in range(old.shape[0]):
        slot = _find(table, old, i)
        first = table[slot]
        if first >= 0:
            if new[first] != new[i]:
                return False
            continue
        table[slot] = i
        count += 1
        if 2 * count > table.shape[0]:
            places = table
            table = np.full(2 * table.shape[0], -1, np.int64)
            for place in places:
                if place >= 0:
                    table[_find(table, old, place)] = place
    return True


@njit
def _find(table, keys, i):  # type: ignore[no-untyped-def]
    mask = table.shape[0] - 1
    slot = np.int64(_mix(keys[i]) & np.uint64(mask))
    while table[slot] >= 0 and keys[table[slot]] != keys[i]:
        slot = (slot + 1) & mask
    return slot

"""The oracles again, slowly and from their definitions: Python tuples, sorted multisets, a dictionary of signatures.

Shares nothing with the library but the graphs. All graphs are refined together, so colours are comparable, and exact:
there is no hash. `CLASSES[name](graphs)` gives each graph's class.
"""

from __future__ import annotations

from itertools import product
from math import inf


def neighbours(graph):
    out = {v: [] for v in range(graph.n)}
    for u, v in graph.edges.tolist():
        out[u].append(v)
        out[v].append(u)
    return out


def number(values):
    """Equal integers for equal values, by first appearance; values is a list of dicts."""
    names = {}
    return [{key: names.setdefault(value, len(names)) for key, value in part.items()} for part in values]


def refine(starts, signature):
    """Refine all parts together until the number of colours stays; signature(part index, colours, key) -> hashable."""
    colours = number(starts)
    while True:
        new = number([{t: (c[t], signature(i, c, t)) for t in c} for i, c in enumerate(colours)])
        if len({x for c in new for x in c.values()}) == len({x for c in colours for x in c.values()}):
            return new
        colours = new


def pool(invariants):
    return list(number([dict(enumerate(invariants))])[0].values())


def flat(colours):
    return pool([tuple(sorted(c.values())) for c in colours])


def nested(colours):
    """Colours keyed (u, v): the multiset over u of the multisets over v."""
    out = []
    for c in colours:
        rows = {}
        for (u, _), x in c.items():
            rows.setdefault(u, []).append(x)
        out.append(tuple(sorted(tuple(sorted(row)) for row in rows.values())))
    return pool(out)


def bag(items):
    return tuple(sorted(items))


def wl(graphs, starts=None):
    adj = [neighbours(g) for g in graphs]
    starts = starts or [dict.fromkeys(a, 0) for a in adj]
    return flat(refine(starts, lambda i, c, v: bag(c[u] for u in adj[i][v])))


def atomic(graph, k):
    adj = neighbours(graph)
    return {t: tuple((a == b, b in adj[a]) for a in t for b in t) for t in product(range(graph.n), repeat=k)}


def put(t, i, x):
    return (*t[:i], x, *t[i + 1 :])


def kwl(graphs, k):
    def signature(i, c, t):
        return tuple(bag(c[put(t, j, x)] for x in range(graphs[i].n)) for j in range(k))

    return flat(refine([atomic(g, k) for g in graphs], signature))


def kfwl(graphs, k):
    types = [atomic(g, 2) for g in graphs]

    def signature(i, c, t):
        return bag(
            (*(c[put(t, j, x)] for j in range(k)), types[i][t[0], x] if k == 1 else 0) for x in range(graphs[i].n)
        )

    return flat(refine([atomic(g, k) for g in graphs], signature))


def gd_wl(graphs, distances):
    starts = [dict.fromkeys(range(g.n), 0) for g in graphs]
    return flat(refine(starts, lambda i, c, v: bag((distances[i][v, u], c[u]) for u in c)))


def hops(graph):
    """Floyd-Warshall."""
    adj, n = neighbours(graph), range(graph.n)
    d = {(u, v): 0 if u == v else 1 if v in adj[u] else inf for u in n for v in n}
    for w, u, v in product(n, n, n):
        d[u, v] = min(d[u, v], d[u, w] + d[w, v])
    return d


def walks(graph):
    """Numbers of walks of length 0 .. 16 between all pairs, in Python's integers of any size."""
    adj, out = neighbours(graph), {}
    for s in range(graph.n):
        row = [int(v == s) for v in range(graph.n)]
        history = [row]
        for _ in range(16):
            row = [sum(row[u] for u in adj[v]) for v in range(graph.n)]
            history.append(row)
        out |= {(s, v): tuple(step[v] for step in history) for v in range(graph.n)}
    return out


def rwse(graphs):
    counts = [walks(g) for g in graphs]
    return wl(graphs, [{v: c[v, v][1:] for v in range(g.n)} for g, c in zip(graphs, counts)])


def copies(graph, marks):
    """One coloured copy for each entry of marks: {(mark, v): colour}."""
    return {(mark, v): mark.index(v) + 1 if v in mark else 0 for mark in marks for v in range(graph.n)}


def refine_copies(graphs, marks):
    adj = [neighbours(g) for g in graphs]
    starts = [copies(g, m) for g, m in zip(graphs, marks)]
    return refine(starts, lambda i, c, t: bag(c[t[0], u] for u in adj[i][t[1]]))


def node_marking(graphs):
    return nested(refine_copies(graphs, [[(v,) for v in range(g.n)] for g in graphs]))


def pair_marking(graphs):
    marks = [[(u, v) for u, near in neighbours(g).items() for v in near] for g in graphs]
    out = []
    for g, c, m in zip(graphs, refine_copies(graphs, marks), marks):
        bags = {mark: bag(c[mark, v] for v in range(g.n)) for mark in m}
        out.append(bag(bag(bags[mark] for mark in m if mark[0] == u) for u in range(g.n)))
    return pool(out)


def sswl(graphs):
    adj = [neighbours(g) for g in graphs]
    starts = [{(u, v): u == v for u in range(g.n) for v in range(g.n)} for g in graphs]

    def signature(i, c, t):
        u, v = t
        return bag(c[u, w] for w in adj[i][v]), bag(c[w, v] for w in adj[i][u])

    return nested(refine(starts, signature))


def local_2fwl(graphs):
    adj = [neighbours(g) for g in graphs]
    starts = [atomic(g, 2) for g in graphs]
    return nested(refine(starts, lambda i, c, t: bag((c[t[0], w], c[w, t[1]]) for w in adj[i][t[1]])))


CLASSES = {
    "1-wl": wl,
    "1-fwl": lambda graphs: kfwl(graphs, 1),
    "2-wl": lambda graphs: kwl(graphs, 2),
    "gd-wl-spd": lambda graphs: gd_wl(graphs, [hops(g) for g in graphs]),
    "rwse-wl": rwse,
    "gd-wl-walks": lambda graphs: gd_wl(graphs, [walks(g) for g in graphs]),
    "node-marking": node_marking,
    "local-2-fwl": local_2fwl,
    "sswl": sswl,
    "2-fwl": lambda graphs: kfwl(graphs, 2),
    "3-wl": lambda graphs: kwl(graphs, 3),
    "pair-marking": pair_marking,
    "3-fwl": lambda graphs: kfwl(graphs, 3),
}

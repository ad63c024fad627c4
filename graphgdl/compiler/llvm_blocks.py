"""The walk over blocks of rows: kernels and products in turns on a few rows at a time, and all between them in cache.

The function `walk(ptr words, i64 first block, i64 last block + 1, i64 part)` is the same for every program. Its words, of
64 bits: row bounds of the blocks, row bounds of the edges, edge ids, first position of the tile, number of steps; then
for each step `STEP` words, whose meaning depends on the first:

    KERNEL   function, table of arguments
    PRODUCT  function, x, w, y, bytes of each per edge of the tile (0: of the block, or no edges), rows per edge
    COPY     0, from, to, 0, 0, 0, 0, bytes per edge: the rows of a block from the order of the edge ids
"""

KERNEL, PRODUCT, COPY = range(3)
HEAD, STEP = 5, 9
BLOCK = 6  # the word of a kernel's table that holds the first position of the block


def _word(name: str, of: str, index: int | str, kind: str = "i64") -> str:
    return f"%{name}.at = getelementptr i64, ptr %{of}, i64 {index}\n%{name} = load {kind}, ptr %{name}.at\n"


WALK = (
    "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\n"
    "define void @walk(ptr %words, i64 %first, i64 %last, i64 %part) {\n"
    "entry:\n"
    + _word("bounds", "words", 0, "ptr")
    + _word("ptr", "words", 1, "ptr")
    + _word("edge", "words", 2, "ptr")
    + _word("tile", "words", 3)
    + _word("steps", "words", 4)
    + "br label %blocks\n"
    "blocks:\n"
    "%b = phi i64 [ %first, %entry ], [ %b.next, %block.end ]\n"
    "%b.more = icmp slt i64 %b, %last\n"
    "br i1 %b.more, label %block, label %end\n"
    "block:\n"
    "%b.next = add i64 %b, 1\n"
    + _word("row", "bounds", "%b")
    + _word("row.end", "bounds", "%b.next")
    + _word("q", "ptr", "%row")
    + _word("q.end", "ptr", "%row.end")
    + "%n = sub i64 %q.end, %q\n"
    "%position = sub i64 %q, %tile\n"
    "br label %steps.head\n"
    "steps.head:\n"
    "%s = phi i64 [ 0, %block ], [ %s.next, %step.end ]\n"
    "%s.more = icmp slt i64 %s, %steps\n"
    "br i1 %s.more, label %step, label %block.end\n"
    "step:\n"
    "%s.next = add i64 %s, 1\n"
    f"%s.scaled = mul i64 %s, {STEP}\n"
    f"%s.offset = add i64 %s.scaled, {HEAD}\n"
    "%here = getelementptr i64, ptr %words, i64 %s.offset\n"
    + _word("kind", "here", 0)
    + _word("function", "here", 1, "ptr")
    + "".join(_word(name, "here", k, "ptr") for k, name in enumerate("xwy", 2))
    + "".join(_word(f"{name}.bytes", "here", k) for k, name in enumerate("xwy", 5))
    + _word("size", "here", 8)
    + f"switch i64 %kind, label %copy [ i64 {KERNEL}, label %kernel\n i64 {PRODUCT}, label %product ]\n"
    "kernel:\n"
    f"%block.at = getelementptr i64, ptr %x, i64 {BLOCK}\n"
    "store i64 %q, ptr %block.at\n"
    "call void %function(ptr %x, i64 %row, i64 %row.end, i64 %part)\n"
    "br label %step.end\n"
    "product:\n"
    + "".join(
        f"%{name}.offset = mul i64 %{name}.bytes, %position\n"
        f"%{name}.here = getelementptr i8, ptr %{name}, i64 %{name}.offset\n"
        for name in "xwy"
    )
    + "%rows = mul i64 %n, %size\n"
    "call void %function(ptr %x.here, ptr %w.here, ptr %y.here, i64 %rows)\n"
    "br label %step.end\n"
    "copy:\n"
    "%e = phi i64 [ 0, %step ], [ %e.next, %one ]\n"
    "%e.more = icmp slt i64 %e, %n\n"
    "br i1 %e.more, label %one, label %step.end\n"
    "one:\n"
    "%e.next = add i64 %e, 1\n"
    "%e.position = add i64 %q, %e\n"
    "%id.at = getelementptr i32, ptr %edge, i64 %e.position\n"
    "%id = load i32, ptr %id.at\n"
    "%id.wide = zext i32 %id to i64\n"
    "%from.offset = mul i64 %id.wide, %size\n"
    "%from = getelementptr i8, ptr %x, i64 %from.offset\n"
    "%to.offset = mul i64 %e, %size\n"
    "%to = getelementptr i8, ptr %w, i64 %to.offset\n"
    "call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %size, i1 false)\n"
    "br label %copy\n"
    "step.end:\n"
    "br label %steps.head\n"
    "block.end:\n"
    "br label %blocks\n"
    "end:\n"
    "ret void\n"
    "}\n"
)

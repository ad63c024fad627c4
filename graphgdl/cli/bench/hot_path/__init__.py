"""`graphgdl bench ops`: layers and ops beside their peers, one module for each idea.

`graphs` and `messages` make the inputs, `cases` and `op_cases` the layers and ops, `sides` what runs against what,
`check` refuses wrong results, `clock` and `memory` measure, `row` does all of it for one case on one graph, `job` for
the selection, `regression` compares with an earlier file, `report` and `plot` show.
"""

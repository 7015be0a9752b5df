"""The migrations of the SQL schema, one file each in `versions/`, numbered without gaps.

`migrate.py` applies them. A cluster is upgraded by `chappe migrate` first and then node by node, so the nodes of the
release before work on the new schema for a while. Hence two kinds, and every file says which it is in `PHASE`:

* "expand" only adds: tables, columns that may be NULL or have a server default, indexes. Nothing that is there
  changes its name, its type or its rules, so statements of older releases go on as before. Nodes that know only
  older schemas may even start on it.
* "contract" takes away what nothing uses any more. It comes a release after the one that stopped using it, and from
  then on nodes refuse the database unless they know the schema just before it.

A rename, a new type or a stricter rule is therefore three steps in three releases: expand, write both and move the
old rows, contract. Before adding one, record what the release before it sends (`tests/chappe/stores/sql/recording.py`):
the tests compare the schemas before and after every "expand", and send what was recorded to the newest schema.

`upgrade(op)` gets Alembic's operations as an argument. There is no way back: a restored backup is one, and
`downgrade` is missing on purpose. On PostgreSQL, an index on a table that is in use is built CONCURRENTLY, inside
`op.get_context().autocommit_block()`.
"""

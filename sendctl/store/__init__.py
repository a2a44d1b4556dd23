"""The ledger: the only SQL of sendctl. Plain functions, one module per aggregate, each taking a Connection.

The caller owns the transaction. `schema.sql` is the truth about the tables; `tables.py` is tested equal to it.
"""

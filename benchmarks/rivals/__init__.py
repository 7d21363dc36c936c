"""The same jobs as others would write them, well: what this software's cost is compared with.

Each loads automation, account and exchange, opens the account's credentials (once; they are cached), sends what there
is to send and inserts one TradeLog row. None of them guarantees what becomes of a job when something fails, but for
DBOS, whose steps are carried out at least once. The ledger alone shows what exactly once takes by itself.
"""

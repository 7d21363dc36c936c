"""Storms: real workers, real servers, real faults; afterwards the exchange's own list against the ledger."""

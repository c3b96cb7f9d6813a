"""The deal language: parties, clauses and elections, and the primitives under them."""

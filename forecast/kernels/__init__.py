"""Compiled loops over arrays; nothing here knows a deal, a name or a file."""

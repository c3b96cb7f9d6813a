"""`python -m flows`: the same as `forecast-flow`."""

from flows.cli import main

main()

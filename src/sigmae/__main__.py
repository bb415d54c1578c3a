"""`python -m sigmae`: the command line."""

from sigmae.cli import main

main()

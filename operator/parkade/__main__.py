"""`python -m parkade`."""

from parkade.cli import main

main()

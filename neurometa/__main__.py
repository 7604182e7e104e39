"""`python -m neurometa`."""

from neurometa.cli import main

main()

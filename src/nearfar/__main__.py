"""`python -m nearfar` is the command."""

from nearfar.cli import main

main()

"""``python -m eacps``: the same commands as ``eacps``, whose script a shell starts where the path has a space."""

from eacps.cli.app import main

main()

"""`python -m graphgdl` is the command `graphgdl`."""

from graphgdl.cli.main import main

if __name__ == "__main__":
    main()

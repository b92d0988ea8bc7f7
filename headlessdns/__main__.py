"""``python -m headlessdns`` is the command ``headlessdns``."""

from headlessdns.cli.main import main

if __name__ == "__main__":
    main()

"""``python -m submitit``: the ``submitit`` command of this interpreter."""

from submitit.cli.main import main

if __name__ == "__main__":
    main()

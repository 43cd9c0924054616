"""`python -m mime_fast` is `mime-fast`."""

import sys


def start() -> int:
    """The command as a process of its own: an interrupt while it is imported ends it as any later one does."""
    try:
        from mime_fast.cli.main import main
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(start())

"""`python -m mime_fast` is `mime-fast`."""

import sys

from mime_fast.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

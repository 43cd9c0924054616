"""Whether the versions that a release names agree: _version.py, CITATION.cff, the newest one of CHANGELOG.md.

`make release-check` runs this, then builds the source distribution and from it the wheel, checks their metadata
(twine), and installs the wheel into a fresh environment (tools/check_wheel.py). `--tag v0.2.0` (`make release-check
TAG=v0.2.0`) compares a tag, too, for which nothing may be left under [Unreleased].
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PLACES = {  # where each file has its version
    "mime_fast/_version.py": r'^__version__ = "([^"]+)"$',
    "CITATION.cff": r"^version: (\S+)$",
    "CHANGELOG.md": r"^## \[(\d[^\]]*)\] - \d{4}-\d{2}-\d{2}$",
}


def versions(root: Path) -> dict[str, str]:
    """The version that each file names; empty where it names none."""
    found = {}
    for name, pattern in _PLACES.items():
        match = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.M)
        found[name] = match[1] if match else ""
    return found


def faults(found: dict[str, str]) -> list[str]:
    """What does not agree with the package's own version."""
    own = found["mime_fast/_version.py"]
    return [
        f"{name}: {version or 'no version'}; _version.py has {own}" for name, version in found.items() if version != own
    ]


def unreleased(root: Path) -> bool:
    """Whether CHANGELOG.md has entries that are of no version yet."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    return bool(text.partition("## [Unreleased]")[2].partition("\n## [")[0].strip())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", help="of the commit to release")
    args = parser.parse_args(arguments)
    found = versions(ROOT)
    if args.tag is not None:
        found["tag"] = args.tag.removeprefix("v")
    if wrong := faults(found):
        sys.exit("\n".join(wrong))
    print("version", found["mime_fast/_version.py"], "in", ", ".join(found))
    if unreleased(ROOT):
        advice = "CHANGELOG.md has entries under [Unreleased]: give them a version before a release"
        if args.tag is not None:
            sys.exit(advice)
        print(advice)


if __name__ == "__main__":
    main()

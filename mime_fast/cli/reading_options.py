"""Options that say how files of dialogues are read."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _ActionsContainer
from typing import TYPE_CHECKING

from mime_fast.errors import ConfigError

if TYPE_CHECKING:
    from mime_fast.data.reading.options import Columns, Reading

_COLUMNS = {
    "context": "column or key of the dialogues; data.context is a key within data (default: context, messages or "
    "conversations, or what EmpatheticDialogues' columns say)",
    "response": "column or key of the responses (default: response)",
    "id": "column or key of the ids (default: id)",
    "seed": "column or key of the rows' own seeds (default: seed)",
    "emotion": "column or key of emotions to mimic, names or numbers in the order of classify (default: none)",
}


def add_reading_options(parser: ArgumentParser) -> None:
    """--input-format, the columns, and what text files and tables need said."""
    group = parser.add_argument_group("input")
    group.add_argument(
        "--input-format",
        default="auto",
        metavar="FORMAT",
        help="jsonl, csv, tsv, parquet or text (default: by the file's name, else by its first line)",
    )
    for name, text in _COLUMNS.items():
        group.add_argument(f"--{name}-column", metavar="NAME", help=text)
    group.add_argument(
        "--separator", metavar="TEXT", help="between the utterances of a context that is one text (default: __eou__)"
    )
    group.add_argument(
        "--turns",
        choices=["last", "all"],
        help="a context is a whole dialogue; last: its last turn is the response; all: each listener turn, a row each",
    )
    _add_encoding_and_quoting(group)
    group.add_argument(
        "--delimiter", metavar="CHAR", help="between the cells of a table, or tab (default: what fits the header)"
    )
    group.add_argument("--recursive", action="store_true", help="read the folders in a folder, too")
    group.add_argument(
        "--max-row-bytes", type=int, metavar="N", help="a longer row is a bad one (default: 67108864, 64 MiB)"
    )


def add_data_options(parser: ArgumentParser) -> None:
    """--data: EmpatheticDialogues; --encoding and --quoting, where it was saved by another program."""
    parser.add_argument("--data", required=True, metavar="PATH", help="EmpatheticDialogues: tar.gz or folder of CSVs")
    _add_encoding_and_quoting(parser)


def _add_encoding_and_quoting(parser: _ActionsContainer) -> None:
    parser.add_argument("--encoding", default="utf-8", help="of text files without a byte order mark (default: utf-8)")
    parser.add_argument(
        "--quoting",
        choices=["auto", "csv", "none"],
        default="auto",
        help="csv: cells in double quotes may have delimiters and line breaks; none: quotes are text; auto: csv, but "
        "a quoted cell whose lines look like rows stops the job (default: %(default)s)",
    )


def data_reading_of(args: Namespace) -> Reading:
    """What --encoding and --quoting say."""
    from mime_fast.data.reading.options import Reading

    return Reading(encoding=args.encoding, quoting=args.quoting)


def refuse_columns(args: Namespace, rule: str, *, others: bool = False) -> None:
    """ConfigError where a flag is of the rows of a file and none is read; `others`: those of how it is read, too."""
    names = [f"{name}_column" for name in _COLUMNS] + ["separator", "turns"]
    names += ["input_format", "encoding", "quoting", "delimiter", "recursive", "max_row_bytes"] if others else []
    for name in names:
        if getattr(args, name) != args.parser.get_default(name):
            raise ConfigError(f"--{name.replace('_', '-')} {rule}")


def columns_of(args: Namespace) -> Columns:
    from mime_fast.data.reading.options import Columns

    return Columns(
        context=args.context_column,
        response=args.response_column,
        id=args.id_column,
        seed=args.seed_column,
        emotion=args.emotion_column,
        separator=args.separator,
        turns=args.turns,
    )


def reading_of(args: Namespace) -> Reading:
    from mime_fast.data.reading.options import MAX_ROW_BYTES, Reading

    return Reading(
        format=args.input_format,
        encoding=args.encoding,
        delimiter={"tab": "\t", "\\t": "\t"}.get(args.delimiter, args.delimiter),
        quoting=args.quoting,
        recursive=args.recursive,
        max_row_bytes=MAX_ROW_BYTES if args.max_row_bytes is None else args.max_row_bytes,
    )

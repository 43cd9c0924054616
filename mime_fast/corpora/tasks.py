"""What a job does with its rows: scoring, generating or classifying, and what each row becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from mime_fast.config.checks import MAX_SEED, check_bool, check_int
from mime_fast.corpora.given import check_instance
from mime_fast.data.dialogues import Row
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.rows import RawRow
from mime_fast.emotions import LABELS, emotion_index
from mime_fast.engine.inputs import check_reading
from mime_fast.engine.records import default_top
from mime_fast.errors import ConfigError

if TYPE_CHECKING:
    from mime_fast.backends.protocol import Ids, Offsets, Stop
    from mime_fast.engine.engine import Engine
    from mime_fast.engine.inputs import Truncation
    from mime_fast.engine.reading import Window
    from mime_fast.engine.results import Classification, Reply, Score

Kind = Literal["score", "generate", "classify"]


class Ready(NamedTuple):
    """Rows as the back end takes them."""

    window: Window
    targets: tuple[Ids, Offsets]  # empty where nothing is scored


@dataclass(frozen=True)
class Task:
    """What is done, and all options that change a row of the output.

    Raises:
        ConfigError: a value is not allowed (the engine checks the search's).
        InputError: an unknown emotion.
    """

    kind: Kind
    columns: Columns = field(default_factory=Columns)
    seed: int = 0
    emotion: str | int | None = None
    stochastic: bool = True
    strict_turns: bool = True
    truncation: Truncation | None = None
    top_emotions: int | None = None  # None: 3, of classify all
    search: Mapping[str, Any] = field(default_factory=dict)  # of Engine.generate
    first_row: int = 0  # number of the input's first row
    row_step: int = 1  # from one row's number to the next

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"task {self.kind!r}: must be one of {', '.join(get_args(Kind))}")
        check_int("seed", self.seed, 0, MAX_SEED)
        if self.emotion is not None:
            emotion_index(self.emotion)
        if self.top_emotions is None:
            object.__setattr__(self, "top_emotions", default_top(classifying=self.kind == "classify"))
        check_int("top_emotions", self.top_emotions, 0, len(LABELS))
        check_reading(strict_turns=self.strict_turns, truncation=self.truncation)
        check_int("first_row", self.first_row, 0, 2**62)
        check_int("row_step", self.row_step, 1, 2**31)
        check_instance("columns", self.columns, Columns, "Columns")
        check_instance("search", self.search, Mapping, "a dict of search options")
        for name in ("seed", "top_emotions", "first_row", "row_step"):
            object.__setattr__(self, name, int(getattr(self, name)))
        check_bool("stochastic", self.stochastic)

    def options(self, search: Mapping[str, Any]) -> dict[str, Any]:
        """What changes a row of the output, JSON-ready and however it was asked for; `search` as it is resolved."""
        emotion = None if self.emotion is None else emotion_index(self.emotion)
        search = dict(search) if self.kind == "generate" else {}
        return asdict(replace(self, emotion=emotion, search={})) | {"search": search}

    def numbered(self, row: RawRow) -> RawRow:
        """A row, which has its place in the input, with its number."""
        return replace(row, index=self.first_row + self.row_step * row.index)

    def ready(self, engine: Engine, rows: Sequence[Row]) -> Ready:
        """The rows, cut into tokens and encoded. InputError: one does not fit the model, and which."""
        from mime_fast.engine.reading import Given

        dialogues = [row.context for row in rows]
        given: dict[str, Any] = {}
        if self.kind != "classify":
            given["seed"] = [self.seed if row.seed is None else row.seed for row in rows]
            given["emotions"] = [self.emotion if row.emotion is None else row.emotion for row in rows]
        if self.kind == "score":
            given["responses"] = [row.response for row in rows]
        reading = engine.reading(self.strict_turns, self.truncation, self.stochastic)
        asked = Given.with_list(dialogues, [row.index for row in rows], **given)
        (window,) = reading.windows(dialogues, asked, len(rows))
        return Ready(window, window.targets(engine.tokenizer))

    def run(self, engine: Engine, ready: Ready, stop: Stop | None = None) -> Any:
        """What the back end makes of them, which ends early if `stop` is set; all else is left to other threads."""
        window = ready.window
        if self.kind == "classify":
            return engine.backend.classify(window.contexts, stop)
        if self.kind == "score":
            return engine.backend.score(window.contexts, window.requests, *ready.targets, stop)
        return engine.search_window(engine.search_options(self.search), window, stop)

    def answers(self, engine: Engine, ready: Ready, found: Any) -> Iterator[Score | Reply | Classification]:
        """One answer per row, of what `run` returned."""
        from mime_fast.engine.assemble import classifications_of, replies_of, scores_of

        if self.kind == "classify":
            return classifications_of(found)
        emotions, values = found
        if self.kind == "score":
            return scores_of(emotions, ready.window.responses, values, mimics=engine.config.mimics)
        return replies_of(emotions, values, engine.tokenizer, mimics=engine.config.mimics)

    def record(self, row: Row, answer: Score | Reply | Classification) -> dict[str, Any]:
        """The row's output."""
        from mime_fast.engine.records import record

        assert self.top_emotions is not None  # since __post_init__
        head: dict[str, Any] = {"id": row.id, "row": row.index}
        if self.kind == "generate":
            head["seed"] = self.seed if row.seed is None else row.seed
        return head | record(answer, top_emotions=self.top_emotions)

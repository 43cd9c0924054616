"""What annotators are asked (section 4.3 of the paper), and the answers they may give."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["ratings", "ab"]
Choice = Literal["A", "B", "tie"]
Outcome = Literal["win", "lose", "tie"]  # of the first of two models
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

CRITERIA: dict[str, str] = {
    "empathy": "How much emotional understanding does the reply show?",
    "relevance": "How much topical relevance does the reply have to the conversation?",
    "fluency": "How much linguistic clarity does the reply have?",
}
RATINGS: tuple[int, ...] = (1, 2, 3, 4, 5)  # 5 is best
CHOICES: tuple[Choice, ...] = ("A", "B", "tie")
COMPARISON = "Which reply is better?"

COLUMNS: dict[Kind, tuple[str, ...]] = {
    "ratings": ("item", "context", "reply", *CRITERIA),
    "ab": ("item", "context", "A", "B", "choice"),
}
ANSWERS: dict[Kind, tuple[str, ...]] = {"ratings": tuple(CRITERIA), "ab": ("choice",)}

RATING_GUIDE = (
    "Read the conversation, then rate the listener's last reply on three scales from 1 (worst) to 5 (best). Judge each "
    "scale on its own: a fluent reply may show no empathy, and an empathetic one may be clumsy."
)
COMPARISON_GUIDE = (
    "Read the conversation, then say which of the two replies is the better one, A or B. Say tie if both are equally "
    "good or equally bad. The sides are mixed: A is not the same system every time."
)

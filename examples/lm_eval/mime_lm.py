"""mime_fast as a model of EleutherAI's lm-evaluation-harness: python examples/lm_eval/mime_lm.py [TASK ...]

Needs `pip install lm-eval`. A request's context is a dialogue with one utterance per line, the user's last; a
continuation is the response. Without TASK it is `fitting`, the task in this folder: which of two responses fits.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.tasks import TaskManager

import mime_fast

FOLDER = Path(__file__).resolve().parent
ARGMAX: dict[str, Any] = {"num_beams": 1, "do_sample": False, "no_repeat_ngram_size": 0, "suppress_tokens": ()}


@register_model("mime_fast")
class MimeLM(LM):
    """Log-likelihoods of responses and replies; z = mu, so that a figure has no noise in it."""

    def __init__(self, model: str | None = None, **load_options: Any) -> None:
        super().__init__()
        self.engine = mime_fast.load(model, **load_options)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Of each continuation: its log-prob, the end mark's not counted, and whether it is the likeliest one."""
        dialogues = [dialogue_of(request.args[0]) for request in requests]
        responses = [request.args[1] for request in requests]
        scores = self.engine.score(dialogues, responses, stochastic=False, strict_turns=False, truncation="oldest")
        longest = max((len(score.tokens) for score in scores), default=1)
        likeliest = self.engine.generate(
            dialogues,
            stochastic=False,
            strict_turns=False,
            truncation="oldest",
            max_new_tokens=max(longest, 1),
            **ARGMAX,
        )
        return [
            (sum(score.token_logprobs[:-1]), reply.tokens[: len(score.tokens)] == score.tokens)
            for score, reply in zip(scores, likeliest, strict=True)
        ]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Replies, cut before the first of a request's `until`; its other options as in Hugging Face."""
        return [self._reply(*request.args) for request in requests]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError("MIME is a model of responses to dialogues: a text by itself has no likelihood")

    def _reply(self, context: str, options: dict[str, Any]) -> str:
        search: dict[str, Any] = {"do_sample": bool(options.get("do_sample")) and options.get("temperature") != 0}
        if search["do_sample"]:
            search |= {name: options[name] for name in ("temperature", "top_p") if name in options}
        if "max_gen_toks" in options:
            search["max_new_tokens"] = min(options["max_gen_toks"], self.engine.config.max_positions)
        reply = self.engine.generate(
            [dialogue_of(context)], stochastic=False, strict_turns=False, truncation="oldest", num_beams=1, **search
        )[0].text
        until = options.get("until", [])
        for end in [until] if isinstance(until, str) else until:
            reply = reply.split(end)[0] if end else reply
        return reply


def dialogue_of(context: str) -> list[str]:
    """The utterances of a context, one per line that is not blank."""
    return [line.strip() for line in context.splitlines() if line.strip()]


if __name__ == "__main__":
    tasks = sys.argv[1:] or ["fitting"]
    found = simple_evaluate(MimeLM(), tasks=tasks, task_manager=TaskManager(include_path=str(FOLDER)))
    for task, figures in found["results"].items():
        print(task, {name: round(value, 4) for name, value in figures.items() if isinstance(value, float)})

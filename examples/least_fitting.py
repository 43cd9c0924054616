"""The responses of a scored corpus that fit their contexts least: python examples/least_fitting.py scores.jsonl [N]

How well a response fits is what its context adds to its log-prob, a token: a common phrase is likely anywhere, and so
its perplexity alone says little.
"""

import argparse
import json

import mime_fast

NEUTRAL = ["hello ."]  # a context that speaks for no response

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("scores", help="JSON lines that mime-fast score has written")
parser.add_argument("shown", nargs="?", type=int, default=10, metavar="N", help="responses (default: %(default)s)")
given = parser.parse_args()
with open(given.scores, encoding="utf-8") as lines:
    rows = [json.loads(line) for line in lines]
alone = mime_fast.load().score([NEUTRAL] * len(rows), [row["tokens"] for row in rows])
for row, other in zip(rows, alone, strict=True):
    row["fit"] = (row["logprob"] - other.logprob) / len(row["token_logprobs"])
for row in sorted(rows, key=lambda row: row["fit"])[: given.shown]:
    print(f"{row['fit']:6.2f}  perplexity {row['perplexity']:6.1f}  {row['emotion']:<12}  {row['id']}")

"""How likely a server holds the options of an answer line, from the next token's alternatives.

The answer line up to where a choice stands is put into the conversation as the beginning of a reply that the server shall go on
with, and one token is asked for with its most likely alternatives. Alternatives are compared with the options as text: one that
begins a single option counts for it, one that begins several is followed, as their tokens part further on. So every choice is
read where its options part, scaled to sum to one, as :class:`moralfit.chat.LocalChat` does from the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from math import exp

from moralfit.chat import Line

#: Given the beginning of a reply, the most likely next tokens with the logarithms of their probabilities; None for no answer.
Next = Callable[[str], list[tuple[str, float]] | None]

#: What options that no listed token begins may weigh at most before a choice is said to be unreadable.
_UNSEEN = 0.01
#: Beginnings shared by options whose weight is not worth a request.
_FAINT = 0.01
#: How tokenizers write a leading space.
_SPACES = ("\u2581", "\u0120")


def read_line(line: Line, following: Next) -> list[list[float]] | None:
    """For each choice the probabilities of its options; None where some choice cannot be read.

    A choice cannot be read where no alternative that the server lists begins an option, or where options that are not listed
    could weigh more than a hundredth.
    """
    found = []
    reply = line.mark
    for number, (texts, chosen) in enumerate(zip(line.options, line.chosen, strict=True)):
        end = "," if number < len(line.options) - 1 else ""
        shares = _shares(reply, {place: f" {text}" for place, text in enumerate(texts)}, end, following)
        if shares is None:
            return None
        found.append([shares.get(place, 0.0) for place in range(len(texts))])
        reply += f" {texts[chosen]}{end}"
    return found


def _shares(
    reply: str, rests: Mapping[int, str], end: str, following: Next, known: AbstractSet[int] = frozenset()
) -> dict[int, float] | None:
    """The share of each option, given what is left of it after `reply`; those `known` were met by another spelling."""
    if len(rests) == 1:
        return dict.fromkeys(rests, 1.0)
    listed = following(reply)
    if not listed:
        return None
    alone = dict.fromkeys(rests, 0.0)
    shared: dict[str, float] = {}
    for raw, logarithm in listed:
        token = f" {raw[1:]}" if raw.startswith(_SPACES) else raw
        fitting = [place for place, rest in rests.items() if _begins(token, rest, end)]
        if len(fitting) == 1:
            alone[fitting[0]] += exp(logarithm)
        elif fitting:
            shared[token] = shared.get(token, 0.0) + exp(logarithm)
    total = sum(alone.values()) + sum(shared.values())
    if total == 0:
        return None
    met = known | {place for place, weight in alone.items() if weight}
    for token, weight in shared.items():
        if weight > _FAINT * total:
            own = {place: rest[len(token) :] for place, rest in rests.items() if _begins(token, rest, end)}
            inner = _shares(reply + token, own, end, following, met)
            if inner is None and not met >= set(own):
                return None
            for place, share in (inner or {}).items():
                alone[place] += weight * share
    total = sum(alone.values())
    least = exp(min(logarithm for _, logarithm in listed))
    unseen = [place for place, weight in alone.items() if weight == 0 and place not in known]
    if total == 0 or (unseen and least > _UNSEEN * total):
        return None
    return {place: weight / total for place, weight in alone.items()}


def _begins(token: str, rest: str, end: str) -> bool:
    """Whether a token goes on with an option; of one that stands there in full, whether it ends it."""
    if not rest:
        return token.startswith(end) if end else not token.strip() or token.startswith("<")
    if rest.startswith(token):
        return bool(token)
    return token.startswith(rest) and not token[len(rest)].isalnum()

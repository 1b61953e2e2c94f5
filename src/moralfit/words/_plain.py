"""Replies as plain text: without markup, emoji, typographic variants and thoughts; words, lines and sentence marks stay."""

from __future__ import annotations

import re
from html import unescape
from unicodedata import normalize

#: Stands for the opening of a LaTeX box.
BOX = "\x01"

#: Of a longer reply only the last characters are looked at.
_LONGEST = 40_000
_END_OF_TURN = re.compile(r"<\|(?:im_end|eot_id|end|endoftext|end_of_text)\|>|<end_of_turn>|</s>")
_TYPOGRAPHY = str.maketrans(
    dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", "")
    | dict.fromkeys("\u2018\u2019\u0060\u00b4\u02bc\uff07", "'")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-")
    | dict.fromkeys("\u2014\u2015", "\u2014")
    | dict.fromkeys("\u060c\u3001\uff0c\u00b7\u30fb", ",")
    | dict.fromkeys("\u061b\uff1b", ";")
    | dict.fromkeys("\u3002\uff61\u0964\u2026", ". ")
    | dict.fromkeys("\u2192\u21d2\u27a1\u27f6\u279c\uff1a", ":")
    | dict.fromkeys("\u2022\u25e6\u25aa\u25cf\r\u2028\u2029", "\n")
    | {"\u061f": "?", "_": " ", "\x00": " ", BOX: " "}
)
_CLOSING_BLOCK = r"</(?:p|li|div|tr|td|th|h[1-6])>"
_NAMES = "b|i|u|s|em|strong|p|ul|ol|li|div|span|code|pre|table|thead|tbody|tr|td|th|h[1-6]|font|mark|sup|sub"
_BLOCKS, _TAGS = re.compile(_CLOSING_BLOCK), re.compile(rf"</?(?:{_NAMES})(?: [^<>\n]{{0,80}})?>")
_STEPS = (
    (re.compile(r"<br ?/?>"), "\n"),
    (re.compile(r"~~[^~\n]{1,40}~~"), " "),
    (re.compile(r"\\f?boxed ?\{"), f" {BOX} "),
    (re.compile(r"\\n(?![a-z])"), "\n"),
    (re.compile(r"\\[A-Za-z]+|\\."), " "),
    (re.compile(r"<(?:final ?)?answer>", re.IGNORECASE), " answer: "),
    (re.compile(r"</(?:final ?)?answer>", re.IGNORECASE), "\n"),
    (re.compile(r"[-=]{1,8}>"), ":"),
    (re.compile(r"(?<!\w)'|'(?!\w)"), " "),
    (re.compile(rf"[^\w\s,.;:!?()'/&|=%+\u2014{BOX}-]+"), " "),
    (re.compile(r"[^\S\n]+"), " "),
    (re.compile(r" ?\n\s*"), "\n"),
)


def plain(reply: str) -> str:
    """One space between words, one newline between lines; :data:`BOX` where a LaTeX box opens."""
    text = next((part for part in _END_OF_TURN.split(reply) if part.strip()), "")
    if "</think>" in text:
        text = text.rsplit("</think>", 1)[1]
    elif text.lstrip().startswith("<think>"):
        return ""
    text = normalize("NFKC", unescape(text[-_LONGEST:]).translate(_TYPOGRAPHY)).translate(_TYPOGRAPHY)
    if "</" in text:
        # Without a closing tag, <b> is a label in brackets rather than bold type.
        text = _TAGS.sub(" ", _BLOCKS.sub("\n", text))
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return text.strip()

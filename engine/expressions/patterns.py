"""SQL's LIKE as a polars expression."""

from __future__ import annotations

import string

import polars as pl

from engine.expressions.syntax import ExpressionError


def like(text: pl.Expr, pattern: str, escape: str = "") -> pl.Expr:
    """SQL's LIKE: ``%`` any text, ``_`` any one character, all else itself; plain comparisons where they do."""
    pieces: list[str | None] = []  # texts, and None for each %
    regex = ""
    simple = True
    characters = iter(pattern)
    for character in characters:
        if escape and character == escape:
            following = next(characters, None)
            if following is None or following not in ("%", "_", escape):
                raise ExpressionError(f"in the pattern '{pattern}', {escape} escapes nothing")
            literal = following
        elif character == "%":
            pieces.append(None)
            regex += ".*"
            continue
        elif character == "_":
            simple = False
            regex += "."
            continue
        else:
            literal = character
        regex += "\\" + literal if literal in string.punctuation else literal
        if pieces and pieces[-1] is not None:
            pieces[-1] += literal
        else:
            pieces.append(literal)
    if simple:
        match pieces:
            case []:
                return text == pl.lit("")
            case [str(whole)]:
                return text == pl.lit(whole)
            case [str(start), None]:
                return text.str.starts_with(start)
            case [None, str(end)]:
                return text.str.ends_with(end)
            case [None, str(within), None]:
                return text.str.contains(within, literal=True)
    return text.str.contains(rf"(?s)\A{regex}\z")

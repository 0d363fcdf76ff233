"""Redaction of paths and addresses in error sentences that callers read. The server log keeps the full sentence."""

import re

HIDDEN = "[see the server's log]"

# A quoted path or address may contain blanks. An unquoted one ends at a blank or at punctuation.
_PLACES = re.compile(
    r"""
    (?P<quote>['"])(?:file:|s3:|[a-z][a-z0-9+.-]*://|~?/)(?:(?!(?P=quote)).)*(?P=quote)
    | \b[a-z][a-z0-9+.-]*://[^\s'",;()]+
    | (?<![\w.'"/])~?/[^\s'",;:()]+
    | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b
    | \b[a-z0-9-]+(?:\.[a-z0-9-]+)*:\d{2,5}\b
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redacted(sentence: str, *places: str) -> str:
    """Replace paths and addresses in a sentence by a placeholder.

    Args:
        places: Paths and addresses to replace wherever they occur, in addition to those recognized by their form.

    >>> redacted("the model at /srv/models/churn cannot be loaded: no graph", "/srv/models/churn")
    "the model at [see the server's log] cannot be loaded: no graph"
    >>> redacted("the store at http://minio:9000 does not answer")
    "the store at [see the server's log] does not answer"
    >>> redacted("row 3 of 4: 1/2 is not a number")
    'row 3 of 4: 1/2 is not a number'
    """
    for place in sorted(filter(None, places), key=len, reverse=True):
        below = r"(?:/[^\s'\",;:()]*)" + ("?" if "/" in place else "")  # a name without a slash may be an ordinary word
        sentence = re.sub(rf"(?<![\w/.-])(['\"]?){re.escape(place)}{below}(?![\w-])\1", HIDDEN, sentence)
    return _PLACES.sub(HIDDEN, sentence)

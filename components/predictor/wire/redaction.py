"""What a caller may read of an error of the server's own: the sentence without paths and addresses, which the log keeps."""

import re

HIDDEN = "[see the server's log]"

# A quoted path or address may hold blanks; one without quotes ends where a sentence would go on.
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
    """The sentence with places hidden.

    Args:
        places: Paths and addresses that are known to stand there, in whatever form.

    >>> redacted("the model at /srv/models/churn cannot be loaded: no graph", "/srv/models/churn")
    "the model at [see the server's log] cannot be loaded: no graph"
    >>> redacted("the store at http://minio:9000 does not answer")
    "the store at [see the server's log] does not answer"
    >>> redacted("row 3 of 4: 1/2 is not a number")
    'row 3 of 4: 1/2 is not a number'
    """
    for place in sorted(filter(None, places), key=len, reverse=True):
        below = r"(?:/[^\s'\",;:()]*)" + ("?" if "/" in place else "")  # a bare name may be a word of the sentence
        sentence = re.sub(rf"(?<![\w/.-])(['\"]?){re.escape(place)}{below}(?![\w-])\1", HIDDEN, sentence)
    return _PLACES.sub(HIDDEN, sentence)

"""What callers see of a model decides whether a version is a major one: types that a graph wants exactly, too."""

from dataclasses import replace

import pytest

from stagewright.components.registry.versions import Registered, decide
from stagewright.components.runtime.fingerprint import Fingerprint, signature_hash
from stagewright.components.runtime.naming import Version
from stagewright.components.runtime.signature import Input, Signature

PLAIN = Signature("binary", (Input("age", "numeric"), Input("member", "boolean")), ("No", "Yes"))
# What these signatures hashed to before exact types were in the hash: models that are registered keep their version.
BEFORE = {
    "de872e9525f48000ea177c821da3563dd331f49d14d1ae10c815bfc4f0e9d36d": PLAIN,
    "fdbc982ba051afc24cfe3a68e0978e401bd1057222ccded9f2eaab6f77ffb8e5": replace(
        PLAIN, inputs=(Input("picture", "image", shape=(3, 8, 8)),)
    ),
    "193448b5e2834767ffd721cf8548edacdeea038aedb44f0107f8aaaae173b2c7": Signature("regression", (Input("age", "numeric"),)),
}


def exactly(**types: str) -> Signature:
    """The plain signature with inputs of these exact types."""
    return replace(PLAIN, inputs=tuple(replace(one, exact=types.get(one.name)) for one in PLAIN.inputs))


@pytest.mark.parametrize("known", BEFORE)
def test_signatures_without_exact_types_keep_their_hash(known: str) -> None:
    assert signature_hash(BEFORE[known]) == known


def test_every_exact_type_is_another_signature() -> None:
    found = [PLAIN, exactly(age="INT64"), exactly(age="INT32"), exactly(member="BOOL"), exactly(age="INT64", member="BOOL")]
    found.append(replace(PLAIN, answers="FP64"))

    assert len({signature_hash(one) for one in found}) == len(found)


def test_what_follows_the_data_is_no_other_signature() -> None:
    known = exactly(age="INT64")
    nullable = replace(known, inputs=tuple(replace(one, nullable=not one.nullable) for one in known.inputs))

    assert signature_hash(nullable) == signature_hash(known)


@pytest.mark.parametrize(("other", "expected"), [(exactly(age="INT64"), "v2.0.0"), (PLAIN, "v1.2.4")])
def test_a_graph_that_takes_whole_numbers_now_is_a_major_version(other: Signature, expected: str) -> None:
    known = Registered("churn", "1", Version(1, 2, 3), "sha256:a", signature_hash(PLAIN), "recipe", "")

    assert str(decide(Fingerprint("sha256:b", signature_hash(other), "recipe"), [known]).version) == expected

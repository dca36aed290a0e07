"""The form of keys, and how one is recognised."""

import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.access import keys as module
from server.access.keys import FORM, Key, KeyRing, digest, new_key, well_formed
from server.errors import Unauthenticated


def ring(*texts, **how):
    return KeyRing(
        Key(FORM.fullmatch(text)[1], f"key-{number}", digest(text), frozenset({"analyze"}), **how)
        for number, text in enumerate(texts)
    )


def refusal(keys, text, now=0.0):
    with pytest.raises(Unauthenticated) as refused:
        keys.recognise(text, now)
    return refused.value


def test_a_key_is_of_a_form_that_scanners_can_find():
    """Prefix, id, 256 random bits and a checksum, in letters and digits."""
    made = [new_key() for _ in range(100)]
    assert all(FORM.fullmatch(key) and well_formed(key) and f"_{name}_" in key for key, name in made)
    assert all(len(key) == 8 + 12 + 1 + 43 + 6 for key, _ in made)
    assert len({key for key, _ in made}) == len({name for _, name in made}) == 100


def test_a_key_is_recognised_by_its_hash():
    """The entry holds no part of the secret."""
    one, two = new_key()[0], new_key()[0]
    keys = ring(one, two)
    assert keys.recognise(one, 0).name == "key-0"
    assert keys.recognise(two, 0).name == "key-1"
    assert one.rpartition("_")[2] not in repr(keys.recognise(one, 0))
    assert digest(one) not in repr(keys.recognise(one, 0))


@pytest.mark.parametrize("position", [8, 21, 40, 63, 64, 69])
def test_a_changed_character_is_noticed(position):
    """By the checksum, before anything is looked up."""
    key = new_key()[0]
    other = "A" if key[position] != "A" else "B"
    error = refusal(ring(key), key[:position] + other + key[position + 1 :])
    assert error.details["reason"] == "malformed"


def test_a_key_of_somebody_else_reads_like_a_wrong_secret():
    """Nobody learns which ids there are."""
    known = new_key()[0]
    body = known[:21] + new_key()[0][21:64]
    forged = body + module._checksum(body)
    assert well_formed(forged)
    stranger = refusal(ring(known), new_key()[0])
    wrong = refusal(ring(known), forged)
    assert (stranger.message, stranger.details) == (wrong.message, wrong.details)
    assert stranger.details["reason"] == "unknown-key"


def test_a_digest_is_compared_in_constant_time_whether_or_not_there_is_such_an_id(monkeypatch):
    """One comparison of equally long digests each time: a right key, a wrong secret, an id that is not there."""
    compared = []

    def compare(left, right):
        compared.append((len(left), len(right)))
        return hmac.compare_digest(left, right)

    class Spy:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(module, "hmac", Spy)
    known = new_key()[0]
    body = known[:21] + new_key()[0][21:64]
    keys = ring(known)
    keys.recognise(known, 0)
    refusal(keys, body + module._checksum(body))
    refusal(keys, new_key()[0])
    refusal(KeyRing(), new_key()[0])
    assert compared == [(64, 64)] * 4


def test_a_key_expires_and_only_its_holder_is_told():
    """At its time it no longer holds."""
    key, name = new_key()
    keys = ring(key, expires=100.0)
    assert keys.recognise(key, 99.9).expires == 100.0
    assert refusal(keys, key, 100.0).details["reason"] == "expired"
    assert keys.holds(name, 99.9)
    assert not keys.holds(name, 100.0)
    assert not keys.holds("nobody", 0)


@given(st.text(max_size=200))
@example("glimpse_" + "\u0660" * 12 + "_" + "A" * 49)
@example("")
def test_no_text_but_a_key_is_let_in_and_none_breaks_anything(text):
    """Whatever is sent is refused, and not repeated."""
    error = refusal(KeyRing(), text)
    assert len(text) < 12 or text not in error.message

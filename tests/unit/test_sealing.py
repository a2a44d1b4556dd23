"""Sealed contents: opened by their key, as those of their message, and by nothing else."""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import replace

import pytest

from sendctl.sealing import CannotOpen, Keyring, Sealed, key_from, seal, unseal

ONE, OTHER = key_from("11" * 32), key_from("22" * 32)
BOTH = Keyring(ONE, {ONE.id: ONE, OTHER.id: OTHER})


def test_contents_come_back_under_whichever_key_sealed_them() -> None:
    for key in (ONE, OTHER):
        sealed = seal(key, 7, b"a secret")
        assert unseal(BOTH, 7, sealed) == b"a secret"
        assert (sealed.key_id, sealed != seal(key, 7, b"a secret")) == (key.id, True)


@pytest.mark.parametrize("part", ["nonce", "ciphertext"])
def test_one_wrong_bit_is_noticed(part: str) -> None:
    sealed = seal(ONE, 7, b"a secret")
    raw = bytearray(base64.b64decode(getattr(sealed, part)))
    raw[0] ^= 1
    for text in (base64.b64encode(raw).decode(), "no base64", ""):
        with pytest.raises(CannotOpen, match="damaged"):
            unseal(BOTH, 7, replace(sealed, **{part: text}))


def test_contents_of_one_message_are_not_those_of_another() -> None:
    with pytest.raises(CannotOpen, match="another message's"):
        unseal(BOTH, 8, seal(ONE, 7, b"a secret"))


def test_a_key_that_is_not_here_is_named_by_its_id_alone() -> None:
    sealed = seal(OTHER, 7, b"a secret")
    with pytest.raises(CannotOpen, match=f"key {OTHER.id}, which this host does not have") as caught:
        unseal(Keyring(ONE, {ONE.id: ONE}, "no such file"), 7, sealed)
    assert "no such file" in str(caught.value)
    foreign = Sealed(ONE.id, sealed.nonce, sealed.ciphertext)
    with pytest.raises(CannotOpen, match="does not open them"):
        unseal(BOTH, 7, foreign)


@pytest.mark.parametrize("text", ["", "short", "zz" * 32, "11" * 33])
def test_what_is_no_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits") as caught:
        key_from(text)
    assert len(text) < 6 or text not in str(caught.value)


def test_keys_are_not_in_what_is_printed() -> None:
    assert "1111" not in repr(BOTH)
    assert "ciphertext" not in repr(seal(ONE, 7, b"x"))


def test_a_pass_with_nothing_due_does_not_import_the_cipher() -> None:
    code = "import sys, sendctl.passes.send_due; print(*[n for n in sys.modules if n.startswith('cryptography')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"

"""Encrypted letters: nothing of them in the store, opened only to be sent, and never in the way of others."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from sendctl.errors import BadConfig, BadInput, ExitCode
from sendctl.passes import sealing
from sendctl.passes.advice import Level, advise
from sendctl.passes.context import Context
from sendctl.passes.status import read
from sendctl.settings import LettersSettings
from tests.passes.judge import Judge
from tests.store.ground import START, UNKNOWN, Ground

ENCRYPT = 'encrypt = true\nnotify = "me@shop.example"'
TEXT = "the code is xyzzy for {{ contact.name }}"
SECRETS = ("xyzzy", "About note", '"Ann"', "for Ann")  # three letters may stand in what is encrypted, by chance


def keys(ground: Ground, key: str = "", previous: str = "") -> None:
    """The keys of this host from now on: each a hex digit, repeated."""
    ground.close()
    options: dict[str, object] = {}
    for name, digit in (("key", key), ("previous_key", previous)):
        if digit:
            path = ground.folder / f"{digit}.key"
            path.write_text(digit * 64 + "\n")
            options[f"{name}_file"] = str(path)
    ground.letters = LettersSettings(options)


def stands_nowhere(ground: Ground, *words: str) -> None:
    """Neither in any row, nor in any file of the store or the journals."""
    texts = [json.dumps(ground.dump())]
    texts += [
        path.read_bytes().decode("latin-1")
        for path in ground.folder.rglob("*")
        if path.is_file() and path.suffix not in (".toml", ".key") and "primary" not in path.parts
    ]
    for text in texts:
        assert not [word for word in words if word in text]


def test_nothing_of_an_encrypted_letter_stands_in_the_store_and_it_arrives(ground: Ground, judge: Judge) -> None:
    keys(ground, "a")
    ground.letter(more=ENCRYPT, text=TEXT)
    assert ground.letter(more=ENCRYPT, text=TEXT).known == 1
    with pytest.raises(BadInput, match="encrypted and there already, with other contents"):
        ground.letter(more=ENCRYPT, text="other")
    stands_nowhere(ground, *SECRETS)
    judge.answer = lambda _message: UNKNOWN
    ground.send_due()
    keys(ground, "b", "a")
    rotated = sealing.rotate(ground.context, "yearly")
    assert (rotated.resealed, rotated.failed, sealing.rotate(ground.context).already) == (1, {}, 1)
    keys(ground, "b")
    ground.recover("note", in_doubt="resend")
    ground.send_due()
    first, again = [message for message in judge.delivered if message.recipient.startswith("ann")]
    assert b"the code is xyzzy for Ann" in first.content
    assert first.content == again.content
    stands_nowhere(ground, *SECRETS)
    assert ground.one("SELECT count(*) FROM audit WHERE action = 'rotate-key'") == 2


@pytest.mark.parametrize("trouble", ["no key", "another key", "damaged", "foreign", "gone"])
def test_a_letter_that_cannot_be_opened_waits_alone_and_that_is_said(
    ground: Ground, judge: Judge, trouble: str
) -> None:
    blocked(ground, judge, trouble)


def test_a_letter_that_cannot_be_opened_waits_alone_on_each_database(ground: Ground, judge: Judge) -> None:
    blocked(ground, judge, "damaged")


def blocked(ground: Ground, judge: Judge, trouble: str) -> None:
    keys(ground, "a")
    ground.letter("note", to="shut", more=ENCRYPT, text=TEXT)
    ground.letter("behind", to="behind", more="encrypt = true", text=TEXT)
    number = ground.one("SELECT min(message_id) FROM sealed")
    good = ground.rows("SELECT nonce, ciphertext FROM sealed WHERE message_id = :id", id=number)[0]
    match trouble:
        case "no key" | "another key":
            ground.enqueue(1)
            keys(ground, "b" if trouble == "another key" else "")
        case "damaged":
            ground.change("UPDATE sealed SET ciphertext = substr(ciphertext, 5) WHERE message_id = :id", id=number)
        case "foreign":
            ground.change(
                "UPDATE sealed SET nonce = (SELECT nonce FROM sealed WHERE message_id > :id), ciphertext ="
                " (SELECT ciphertext FROM sealed WHERE message_id > :id) WHERE message_id = :id",
                id=number,
            )
        case "gone":
            ground.change("DELETE FROM sealed WHERE message_id = :id", id=number)
    for told in (False, True):
        report = ground.send_due()
        assert report.exit_code is ExitCode.NEEDS_PERSON
        assert (report.work.ended, report.work.told) == ("blocked", told)  # cron is mailed once
        assert "note" in report.work.unreadable
        ground.clock.forward(minutes=1)
    assert judge.people() == (["p00001"] if trouble.endswith("key") else ["behind"])
    assert ground.states("note") == {"queued": 1}
    matter = next(one for one in advise(read(ground.context)) if one.campaign == "note")
    assert matter.level is Level.CRITICAL
    assert "cannot be sent from here" in matter.matter
    stands_nowhere(ground, "xyzzy")
    keys(ground, "a")
    if trouble == "gone":
        return
    ground.change("UPDATE sealed SET nonce = :n, ciphertext = :c WHERE message_id = :id", n=good[0], c=good[1],
                  id=number)  # fmt: skip
    assert ground.send_due().exit_code is ExitCode.DONE
    assert ground.states("note") == {"sent": 1}
    assert not [one for one in advise(read(ground.context)) if one.campaign == "note"]


def test_without_a_key_nothing_is_encrypted_and_nothing_written(ground: Ground) -> None:
    for make in (lambda: keys(ground), lambda: keys(ground, "x")):
        make()
        before = ground.dump()
        with pytest.raises(BadConfig, match="cannot be encrypted here: no key") as caught:
            ground.letter(more=ENCRYPT, text=TEXT)
        assert "xxxx" not in str(caught.value)
        assert ground.dump() == before


def test_a_missing_key_is_told_before_the_letter_is_due(ground: Ground) -> None:
    keys(ground, "a")
    ground.letter(at=f'"{START + timedelta(days=9):%Y-%m-%d %H:%M}"', more=ENCRYPT, text=TEXT)
    assert advise(read(ground.context)) == []
    keys(ground, "b")
    (one,) = advise(read(ground.context))
    assert one.level is Level.WARNING
    with pytest.raises(BadConfig, match="whether it says the same cannot be told"):
        ground.letter(at=f'"{START + timedelta(days=9):%Y-%m-%d %H:%M}"', more=ENCRYPT, text=TEXT)
    assert sealing.rotate(ground.context).exit_code is ExitCode.NEEDS_PERSON


def test_keys_come_from_a_file_a_variable_or_a_credential(ground: Ground) -> None:
    (ground.folder / "letters").write_text("a" * 64)
    environ = {"LETTERS": "a" * 64, "CREDENTIALS_DIRECTORY": str(ground.folder)}
    path = str(ground.folder / "letters")
    for reference in ({"key_file": path}, {"key_env": "LETTERS"}, {"key_credential": "letters"}):
        ground.close()
        ground.letters = LettersSettings(reference)
        context = Context(ground.context.settings, environ, ground.clock)
        assert sealing.current_key(sealing.keyring(context)).secret == bytes.fromhex("a" * 64)

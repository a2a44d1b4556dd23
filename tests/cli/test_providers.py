"""`providers` as a command: what each can prove, for people and programs, without a secret and without a store."""

from __future__ import annotations

from tests.cli.world import World

MORE = """\
[providers.api]
type = "resend"
api_key_env = "NOT_SET"
rate = "5/s"
"""


def test_each_configured_provider_is_listed_with_what_it_proves(world: World) -> None:
    world.configure(more=MORE)
    ran = world.run("providers")
    assert (ran.code, ran.err) == (0, "")
    assert "outbox: maildir, email, number 1 of 1\n" in ran.out
    assert "api: resend, email, only by name, 5/s\n" in ran.out
    assert "same again  one message, for 24 hours; after that, two" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    document = world.run("providers", "--json").json
    assert (document["schema"], document["order"]) == ("sendctl.providers/1", ["outbox"])
    assert [(one["name"], one["lookup"], one["key_window_s"] > 0) for one in document["providers"]] == [
        ("outbox", True, True), ("api", True, True),
    ]  # fmt: skip


def test_a_key_is_sent_in_clear_text_to_this_machine_only(world: World) -> None:
    world.configure(more=MORE + 'base_url = "http://api.resend.com"\n')
    ran = world.run("providers")
    assert ran.code == 78
    assert "the key would go to api.resend.com in clear text" in ran.err
    world.configure(more=MORE + 'base_url = "http://127.0.0.1:8080/x"\n')
    assert world.run("providers").code == 0
    for wrong in (
        "api.resend.com",
        "https://",
        "ftp://api.resend.com",
        "https://a@b.example",
        "https://a.example/?x=1",
    ):
        world.configure(more=MORE + f'base_url = "{wrong}"\n')
        ran = world.run("providers")
        assert (ran.code, 'want "https://HOST"' in ran.err) == (78, True), wrong


def test_a_service_without_a_key_is_refused_with_the_name_of_what_is_missing(world: World) -> None:
    world.configure(more='[providers.api]\ntype = "postmark"\n')
    ran = world.run("providers")
    assert ran.code == 78
    assert 'missing key "server_token_env" in [providers.api]' in ran.err

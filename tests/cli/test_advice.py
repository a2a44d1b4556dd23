"""What `status` says to do next, in each situation that keeps a campaign from moving: the cause first, and no guess."""

from __future__ import annotations

import pytest

from tests.cli.world import CAMPAIGN, World, contacts

LONG_AGO = "'2026-01-01 00:00:00.000000'"
SHUT = (
    "INSERT INTO provider_state VALUES ('outbox', 'open', 3, 1, '2999-01-01 00:00:00.000000', 'refused', '2026-01-01')"
)
NEEDS_A_SECRET = """\
[providers.relay]
type = "smtp"
host = "127.0.0.1"
username = "shop"
password_env = "NOT_IN_CRON"
"""
Said = list[tuple[str, str]]


def advice(world: World) -> Said:
    """(level, matter) of all that is said."""
    return [(one["level"], one["matter"]) for one in world.run("status", "--json").json["advice"]]


def overdue(world: World, *, silent: bool = True) -> None:
    """All that is queued has been due for months; a pass runs each minute, unless all is silent."""
    world.execute(f"UPDATE messages SET next_attempt_at = {LONG_AGO} WHERE status = 'queued'")
    sign = LONG_AGO if silent else "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    world.execute(f"UPDATE store SET last_pass_at = {sign}, last_pass_host = 'here'")


def configure(world: World, before: str, after: str) -> None:
    path = world.folder / "sendctl.toml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def with_providers(world: World, *names: str) -> None:
    """One campaign of three people that names its providers."""
    assert world.run("migrate").code == 0
    listed = ", ".join(f'"{name}"' for name in names)
    world.write("spring.toml", CAMPAIGN.replace("[controls]", f"providers = [{listed}]\n[controls]"))
    world.write("people.csv", contacts(3))
    assert world.run("enqueue", "spring.toml", "--contacts", "people.csv").code == 0


def test_what_flows_is_sent_by_the_next_pass(world: World) -> None:
    world.ready()
    assert advice(world) == [("ok", "20 messages are due; the next pass sends")]


def test_passes_that_run_and_leave_the_overdue_do_not_keep_up(world: World) -> None:
    world.ready()
    assert world.run("tune", "spring", "--rate", "3/h").code == 0
    overdue(world, silent=False)
    assert advice(world) == [
        ("warning", "20 messages are overdue: passes do not keep up with its rate of 3/h"),
        ("ok", "20 messages are due; the next pass sends"),
    ]


def test_silence_is_asked_about_once(world: World) -> None:
    world.ready()
    overdue(world)
    ((level, matter),) = advice(world)
    assert level == "critical"
    assert matter.endswith("no send-due has started for more than ten minutes: is cron running, and what does it mail?")


def test_a_reconcile_hides_no_send_due_that_never_gets_to_work(world: World) -> None:
    world.configure(more=NEEDS_A_SECRET)
    world.ready()
    overdue(world)
    assert world.run("send-due").code == 78  # cron does not have the secret
    assert world.run("reconcile").code == 3  # and runs this every five minutes
    assert world.run("recover", "--campaign", "spring", "--yes").code == 0
    checked = world.run("status", "--check")
    assert checked.code == 2
    assert "no send-due has started for more than ten minutes: is cron running" in checked.out
    assert world.run("status", "--json").json["last_pass_at"].startswith("2026-01-01")


@pytest.mark.parametrize("due", [True, False])
def test_each_send_due_is_a_sign_also_with_nothing_due(world: World, due: bool) -> None:
    world.ready()
    assert world.run("send-due").code == 0
    if due:
        world.write("more.csv", contacts(25))
        assert world.run("enqueue", "spring.toml", "--contacts", "more.csv").code == 0
    world.execute(f"UPDATE store SET last_pass_at = {LONG_AGO}")
    ran = world.run("send-due")
    assert (ran.code, ran.out.strip() == "nothing is due") == (0, not due)
    assert world.run("status", "--json").json["last_pass_at"] > "2026-01-02"


@pytest.mark.parametrize("silent", [True, False])
def test_a_provider_that_is_not_configured_is_named_first(world: World, silent: bool) -> None:
    with_providers(world, "nope")
    ((level, matter),) = advice(world)
    assert (level, world.run("status", "--check").code) == ("critical", 2)
    assert matter.startswith("provider nope is not configured on this host: nothing of this campaign can be sent")
    overdue(world, silent=silent)
    said = advice(world)
    assert said[0] == (level, matter)
    assert ["is cron running" in matter for _, matter in said[1:]] == [True] * silent


def test_a_failover_that_is_not_configured_is_a_warning(world: World) -> None:
    with_providers(world, "outbox", "spare")
    (warning, flow) = advice(world)
    assert warning[0] == "warning"
    assert warning[1].startswith("provider spare is not configured on this host: no fail-over to it")
    assert flow == ("ok", "3 messages are due; the next pass sends")


def test_other_campaigns_flow_beside_one_without_its_provider(world: World) -> None:
    with_providers(world, "nope")
    world.write("other.toml", CAMPAIGN.replace('"spring"', '"other"'))
    world.run("enqueue", "other.toml", "--contacts", "people.csv")
    assert [matter.split(":")[0] for _, matter in advice(world)] == [
        "provider nope is not configured on this host", "3 messages are due; the next pass sends",
    ]  # fmt: skip


@pytest.mark.parametrize("silent", [True, False])
def test_where_sending_is_disabled_that_is_said_first_and_cron_is_not_blamed(world: World, silent: bool) -> None:
    world.ready()
    configure(world, "enabled = true", "enabled = false")
    overdue(world, silent=silent)
    ((level, matter),) = advice(world)
    assert level == ("critical" if silent else "warning")
    assert matter.startswith("20 messages are due, but sending is not enabled on this host")
    assert "cron" not in matter


def test_a_disabled_host_with_nothing_due_is_no_trouble(world: World) -> None:
    world.ready()
    assert world.run("send-due").code == 0
    configure(world, "enabled = true", "enabled = false")
    assert advice(world) == []


@pytest.mark.parametrize("silent", [True, False])
def test_enabled_without_any_provider_is_never_ok(world: World, silent: bool) -> None:
    world.ready()
    text = (world.folder / "sendctl.toml").read_text()
    (world.folder / "sendctl.toml").write_text(text.partition("providers =")[0])
    overdue(world, silent=silent)
    ((level, matter),) = advice(world)
    assert (level, world.run("status", "--check").code) == ("critical", 2)
    assert matter.startswith("nothing can be sent from here: sending is enabled, and no provider is configured")


def test_a_campaign_waits_while_all_its_providers_are_left_alone(world: World) -> None:
    world.ready()
    world.execute(SHUT)
    breaker, waiting = advice(world)
    assert breaker[0] == "critical"
    assert breaker[1].startswith("provider outbox is left alone for a while: refused")
    assert waiting == ("ok", "20 messages are due and must wait for provider outbox")
    overdue(world, silent=False)
    assert advice(world)[1] == ("warning", waiting[1])


def test_a_probe_that_is_due_lets_the_next_pass_send(world: World) -> None:
    world.ready()
    world.execute(SHUT.replace("2999", "2026"))
    assert advice(world)[1] == ("ok", "20 messages are due; the next pass sends")


@pytest.mark.parametrize("change", ["nothing is left", "all is for later", "paused", "another provider's"])
def test_a_provider_that_nothing_is_due_for_is_no_alarm_once_its_time_is_over(world: World, change: str) -> None:
    if change == "another provider's":
        world.configure(more='[providers.spare]\ntype = "maildir"\npath = "Spare"\n')
        with_providers(world, "spare")
    else:
        world.ready()
    if change == "nothing is left":
        assert world.run("send-due").code == 0
    elif change == "all is for later":
        world.execute("UPDATE messages SET next_attempt_at = '2999-01-01 00:00:00.000000'")
    elif change == "paused":
        assert world.run("pause", "spring").code == 0
    world.execute(SHUT)
    assert advice(world)[0][0] == "critical"  # its time is not over: the cause stands, and can be mended
    world.execute("UPDATE provider_state SET retry_at = '2026-01-01 00:00:00.000000'")
    said = [(level, matter) for level, matter in advice(world) if "provider" in matter]
    assert said == [("ok", "provider outbox failed last (refused) and is tried with the next message; nothing is due"
                     " for it now")]  # fmt: skip
    assert world.run("status", "--check").code == 0
    assert "outbox  tried with the next message  refused" in world.run("status").out


def test_a_provider_that_something_is_due_for_is_an_alarm_until_it_was_tried(world: World) -> None:
    world.ready()
    world.execute(SHUT.replace("2999", "2026"))
    assert advice(world)[0][0] == "critical"
    assert world.run("send-due").code == 0
    assert advice(world) == []


@pytest.mark.parametrize(("setting", "said"), [("", "1d"), ("retry_failed_after_s = 60", "1m")])
def test_the_wait_before_an_automatic_retry_is_that_of_the_configuration(world: World, setting: str, said: str) -> None:
    world.configure(more=f"[reconcile]\n{setting}\n")
    world.ready(people=2)
    world.execute(
        "UPDATE messages SET status = 'failed', transient = 1, last_error = 'later',"
        " failed_at = CURRENT_TIMESTAMP || '.000000' WHERE id = 1"
    )
    matter = next(matter for _, matter in advice(world) if "failed" in matter)
    assert matter == (f"1 message failed for a passing cause; reconcile tries again after {said}, as long as there are"
                      " attempts left, or now")  # fmt: skip
    shown = {"1d": "1 d", "1m": "1 min"}[said]
    assert f"not sent, tried again by itself after {shown}: later" in world.run("show", "1").out


def test_what_expired_is_told_and_alarms_nobody(world: World) -> None:
    world.ready(people=3)
    world.execute("UPDATE messages SET expires_at = '2026-01-01 00:00:00.000000' WHERE id < 3")
    assert world.run("send-due").code == 0
    said = "2 messages expired and will never be sent: it was later than the campaign's expires_after"
    assert advice(world) == [("ok", said)]
    assert world.run("status", "--check").code == 0
    assert "sendctl messages --campaign spring --status expired" in world.run("status").out


def test_a_second_provider_lets_a_campaign_flow(world: World) -> None:
    world.configure(more='[providers.spare]\ntype = "maildir"\npath = "Spare"\n')
    with_providers(world, "outbox", "spare")
    world.execute(SHUT)
    assert advice(world)[1] == ("ok", "3 messages are due; the next pass sends")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE store SET bound_to = 'm:/else/where.db'", "nothing is sent from here: the store belongs to another"),
        (
            f"INSERT INTO hosts VALUES ('h', 'other-host', 'old', {LONG_AGO}, NULL)",
            "nothing is sent: the store was rewound",
        ),
    ],
)
def test_a_store_that_refuses_is_the_whole_story(world: World, statement: str, words: str) -> None:
    world.ready()
    overdue(world)
    world.execute(statement)
    ((_, matter),) = advice(world)
    assert matter.startswith(words)


def test_a_paused_campaign_waits_for_its_person_whatever_is_wrong_besides(world: World) -> None:
    with_providers(world, "nope")
    assert world.run("pause", "spring").code == 0
    overdue(world)
    assert advice(world) == [("ok", "paused by a person")]


def test_quiet_status_prints_trouble_only(world: World) -> None:
    world.ready()
    for arguments in (["status", "-q"], ["status", "-q", "--check"]):
        assert (world.run(*arguments).code, world.run(*arguments).out) == (0, "")
    overdue(world)
    assert "is cron running" in world.run("status", "-q").out.replace("\n     ", " ")
    assert world.run("status", "-q", "--check").out.startswith("SENDCTL CRITICAL - ")

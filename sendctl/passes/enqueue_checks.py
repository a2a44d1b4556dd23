"""What an enqueue refuses before it reads anybody: what this version cannot do, and changes that do not fit.

Reads the store, never writes.
"""

from __future__ import annotations

import json

from sendctl.definition import Definition
from sendctl.errors import BadConfig, BadInput, UsageError
from sendctl.inputs.campaign_places import CampaignFile
from sendctl.passes.campaign_faults import at_fault
from sendctl.passes.context import Context
from sendctl.passes.rendered import recipient_of
from sendctl.passes.revising import compared
from sendctl.passes.row_checks import ANY_TOKEN, Problem, problem_for
from sendctl.rendering.steps import Renderer
from sendctl.states import CampaignStatus
from sendctl.store import campaigns, loading
from sendctl.store.campaigns import Campaign
from sendctl.tomlfile.tables import nearest


def check_channels(context: Context, campaign: CampaignFile) -> None:
    """A campaign of which this host knows that no provider can carry it is refused.

    Of a provider that only another host has, nobody here can tell. Raises BadInput, BadConfig.
    """
    settings, definition = context.settings, campaign.definition
    for channel in definition.channels:
        named = settings.providers_of(definition.providers)
        if not named or any(settings.may_carry(name, channel) for name in named):
            continue
        problem = f"campaign {definition.name} sends {WORDS[channel]}, and none of its providers ({', '.join(named)})"
        if definition.providers:
            raise BadInput(
                f"{problem} carries that", place=campaign.key_place("campaign", "providers"),
                hint=f"name one whose type carries {channel}: docs/channels.md lists them.",
            )  # fmt: skip
        raise BadConfig(
            f"{problem} carries that",
            hint=f"write a section [providers.NAME] of a type that carries {channel} (docs/channels.md),"
            + (" and name it in [send] providers." if settings.send.providers else ' such as type = "file".'),
        )


WORDS = {"email": "e-mail", "sms": "text messages"}


def check_hours(context: Context, definition: Definition, place: str) -> None:
    """What is planned must be able to go at some hour. Raises BadInput, at the place of its window."""
    if context.calendar(definition).never_opens:
        quiet = context.settings.limits.quiet
        hours = f"{quiet.start:%H:%M}-{quiet.end:%H:%M}" if quiet is not None else ""
        raise BadInput(
            f"the whole window lies in the quiet hours of this host, {hours}: nobody would ever get it", place=place,
            hint="change the window, or `quiet` in [limits] of sendctl.toml; what is transactional is exempt.",
        )  # fmt: skip


def check_limits(context: Context, campaign: CampaignFile) -> None:
    """A campaign must be able to send at some hour, and its account must be one. Raises BadInput."""
    definition = campaign.definition
    check_hours(context, definition, campaign.key_place("campaign", "window"))
    if definition.account and definition.account not in context.settings.accounts:
        advice = nearest(definition.account, context.settings.accounts)
        raise BadInput(
            f"this host knows no account {definition.account}", place=campaign.key_place("campaign", "account"),
            hint=advice or f"write a section [accounts.{definition.account}] in sendctl.toml.",
        )  # fmt: skip


def check_existing(context: Context, campaign: CampaignFile, renderers: list[Renderer]) -> bool:
    """A change must fit the people who are enrolled already: their rows are checked against the new templates.

    Returns whether the campaign is there and says the same. Raises BadInput, UsageError.
    """
    definition = campaign.definition
    with context.store.read() as connection:
        found = campaigns.find(connection, definition.name)
        if found is None:
            return False
        check_open(found)
        before = campaigns.definition_of(connection, found.id, found.revision)
        if before.letter is not None:
            raise UsageError(f"{definition.name} is a letter, and no campaign", hint="give the campaign another name.")
        if not campaigns.describe_difference(before, definition):
            return True
        if (before.trigger is None) != (definition.trigger is None):
            raise BadInput(
                f"campaign {definition.name} was enqueued with{'out' if before.trigger is None else ''} a [trigger]",
                place=campaign.key_place("trigger"),
                hint="where its people come from cannot change. Make a new campaign.",
            )
        if before.account != definition.account:
            raise BadInput(
                f"campaign {definition.name} was enqueued with "
                + (f"account {before.account}" if before.account else "no account"),
                place=campaign.key_place("campaign", "account" if definition.account else "name"),
                hint="what it has used up stays with that. Make a new campaign.",
            )  # fmt: skip
        if before.channel != definition.channel:
            raise BadInput(
                f"campaign {definition.name} was enqueued with channel {before.channel!r}",
                place=campaign.key_place("campaign", "channel"),
                hint="how its people are reached cannot change. Make a new campaign.",
            )
        _check_subjects(before, campaign)
        compared(before, definition, lambda index: campaign.key_place("steps", index))
        for address, subject_key, snapshot in loading.waiting_snapshots(connection, found.id):
            problem = problem_for(recipient_of(json.loads(snapshot), ANY_TOKEN, subject_key), renderers)
            if problem is not None:
                raise _unfit(campaign, problem, address)
    return False


def _check_subjects(before: Definition, campaign: CampaignFile) -> None:
    """What names the subjects stays: under other keys a replayed order is enrolled anew, and a refund stops nobody."""
    was, now = before.trigger, campaign.definition.trigger
    if was is None or now is None:
        return
    for key, old, new in (("key", was.key, now.key), ("each", was.each, now.each)):
        if old != new:
            raise BadInput(
                f"campaign {before.name} was enqueued with " + (f"{key} = {old!r}" if old else f"no {key}"),
                place=campaign.key_place("trigger", key),
                hint="by that its orders are known: changed, those that come again would be enrolled again, and refunds"
                " would stop nobody. Put it back, or give the campaign another name.",
            )


def _unfit(campaign: CampaignFile, problem: Problem, address: str) -> BadInput:
    if problem.error is not None:
        return at_fault(campaign, problem.step_index, problem.error, whose=f"{address}, already enrolled")
    return BadInput(
        f"the changed templates use {', '.join(problem.missing)}, which {address}, already enrolled, lacks",
        place=campaign.mention(problem.missing[0], problem.step_index),
        hint="guard it in the template with `default`, or make a new campaign.",
    )


def check_open(campaign: Campaign) -> None:
    """Raises UsageError for a campaign that is over."""
    if campaign.status in (CampaignStatus.CANCELLED, CampaignStatus.ARCHIVED):
        raise UsageError(f"campaign {campaign.name} is {campaign.status}", hint="give the new campaign another name.")

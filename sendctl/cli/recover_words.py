"""A plan of `recover` and what it did, in words for a tired person and in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sendctl.cli.wording import ago, clean, count, hanging, iso, some, when

if TYPE_CHECKING:
    from sendctl.passes.planning import DeadRun, Plan
    from sendctl.passes.recover import Recovered


SHOWN_TWICE = 20


def plan_lines(plan: Plan) -> Iterator[str]:
    """The plan: what was found, what evidence says, what happens then, and the worst case."""
    yield f"Plan for campaign {plan.campaign} ({plan.status}), {when(plan.made_at, plan.made_at)}".replace(" (now)", "")
    yield ""
    yield "1. What is not where it should be"
    yield from _indented(_found(plan) or ["nothing: every message is where it should be"])
    yield ""
    yield "2. What evidence settles"
    yield from _indented(_evidence(plan) or ["nothing"])
    yield ""
    yield "3. What this does"
    yield from _indented(_doing(plan))
    yield ""
    yield from hanging(_worst_case(plan), "")


def _worst_case(plan: Plan) -> str:
    twice, never = (some(number, "person", "people") for number in (plan.worst_case_duplicates, plan.worst_case_missed))
    held = ": held in doubt" if plan.worst_case_missed and plan.choice == "hold" else ""
    return f"Worst case: {twice} may get it twice, {never} may never get it{held}."


def _indented(lines: list[str]) -> Iterator[str]:
    return (part for line in lines for part in hanging(line, "     ", first="   "))


def _found(plan: Plan) -> list[str]:
    lines = [f"the store was rewound: {clean(plan.rewound)}"] if plan.rewound else []
    if plan.behind and not plan.rewound:
        lines.append(
            f"the store was rewound, and nothing is sent before these hosts have recovered too:"
            f" {', '.join(map(clean, plan.behind))}"
        )
    lines += [_died(dead, plan) for dead in plan.dead_runs]
    if plan.expired_claims:
        lines.append(f"{some(plan.expired_claims, 'claim')} of other hosts' runs expired")
    known = len(plan.proof.accepted) + len(plan.proof.absent)
    if plan.doubtful or known:
        lines.append(f"{some(len(plan.doubtful) + known, 'message')} in doubt")
    for failure in plan.failed:
        kind = "a passing cause" if failure.transient else "good"
        lines.append(f"{some(failure.count, 'message')} failed for {kind}: {clean(failure.example)[:60]}")
    if plan.given_up_ids:
        lines.append(f"{some(len(plan.given_up_ids), 'message')} given up in doubt earlier: perhaps accepted")
    if plan.in_flight:
        lines.append(f"{some(plan.in_flight, 'message')} in flight with runs that may be alive: left alone")
    for run in plan.alive:
        lines.append(f"run {run.id} (pid {run.pid}) is alive here; if it stands still, end it, then recover again")
    for run in plan.elsewhere:
        lines.append(f"run {run.id} on {clean(run.hostname)} is not in the journal folder of this host and user")
    return lines


def _died(dead: DeadRun, plan: Plan) -> str:
    text = f"run {dead.run.id} on {clean(dead.run.hostname)}, started {ago(dead.run.started_at, plan.made_at)}, died"
    if dead.others:
        text += f"; it held {some(dead.others, 'message')} of other campaigns too, which its journal settles as well"
    return text


def _evidence(plan: Plan) -> list[str]:
    lines = []
    recorded = sum(dead.recorded for dead in plan.dead_runs)
    requeued = sum(dead.requeued for dead in plan.dead_runs)
    if plan.rewound:
        lines.append(
            f"the journals of this host say what the store forgot: {some(plan.replayed.sent, 'message')} accepted,"
            f" {count(len(plan.replayed.in_doubt))} in doubt"
        )
        if plan.forgotten:
            lines[-1] = (
                "the journals of this host are lost or were put back too: any of the"
                f" {some(plan.forgotten, 'queued message')} may have left since, and recover stops unless the host is"
                " given up with --lost-host"
            )
        if plan.hosts:
            lines.append(
                f"nobody is sent to before these hosts have recovered too: {', '.join(map(clean, plan.hosts))}. A host"
                " that began to run passes after the backup may be missing here: recover there before anything is sent"
            )
    if recorded:
        lines.append(f"{some(recorded, 'outcome')} found in the journals of dead runs")
    if requeued:
        lines.append(f"{some(requeued, 'message')} certainly did not leave: the journals say so")
    if plan.proof.accepted:
        lines.append(f"{some(len(plan.proof.accepted), 'message')} in doubt: accepted after all, and proven")
    if plan.proof.absent:
        lines.append(f"{some(len(plan.proof.absent), 'message')} in doubt: never accepted, the MTA's log proves it")
    if plan.unlooked:
        lines.append(f"for {some(plan.unlooked, 'message')} in doubt proof is looked for when this is applied")
    lines += [
        f"no proof for {some(number, 'message')}: {clean(reason)}" for reason, number in plan.proof.reasons.items()
    ]
    return lines


def _doing(plan: Plan) -> list[str]:
    lines = ["replays the journals of this host into the store"] if plan.rewound else []
    known = sum(dead.recorded for dead in plan.dead_runs) + len(plan.proof.accepted)
    if known:
        lines.append(f"records {some(known, 'proven outcome')}")
    again = sum(dead.requeued for dead in plan.dead_runs) + len(plan.proof.absent)
    if again:
        messages = some(again, "message")
        what = f"cancels {messages}" if plan.over else f"queues {messages} again"
        lines.append(f"{what} that were certainly not sent")
    if plan.keyed:
        lines.append(
            f"sends {some(plan.keyed, 'message')} in doubt again under the same key: the provider has each once"
        )
    if plan.doubtful:
        lines.append(_choice(plan))
    if plan.with_failed and plan.failed_ids:
        lines.append(f"queues {some(len(plan.failed_ids), 'failed message')} again")
    elif plan.failed_ids:
        lines.append(f"leaves {some(len(plan.failed_ids), 'failed message')} alone; --failed queues them again")
    if plan.takes_given_up and plan.given_up_ids:
        lines.append(f"queues {some(len(plan.given_up_ids), 'message')} again that were given up in doubt")
    elif plan.with_failed and plan.given_up_ids:
        given_up = some(len(plan.given_up_ids), "message")
        lines.append(f"leaves {given_up} alone that were given up in doubt; --in-doubt resend queues them again too")
    if plan.ended:
        lines.append(f"leaves {some(plan.ended, 'failed message')} alone of people who get nothing more of it")
    return lines or ["nothing"]


def _choice(plan: Plan) -> str:
    doubtful = some(len(plan.doubtful), "message")
    match plan.choice:
        case "resend":
            return f"queues {doubtful} again that may have been accepted (--in-doubt resend)"
        case "skip":
            return f"gives {doubtful} up that may not have been accepted (--in-doubt skip)"
    return f"holds {doubtful} in doubt; --in-doubt resend or skip decides"


def recovered_lines(plan: Plan, done: Recovered) -> Iterator[str]:
    """What was done, and what comes next."""
    parts = [
        (done.recorded, "recorded"), (done.requeued, "queued again"), (done.proven_sent, "proven sent"),
        (done.proven_absent, "proven absent and queued again"), (done.resent, "in doubt, queued again"),
        (done.skipped, "in doubt, given up"), (done.retried, "failed, queued again"),
    ]  # fmt: skip
    said = ", ".join(f"{count(number)} {what}" for number, what in parts if number)
    yield ""
    if done.replayed is not None:
        yield f"Replayed: {', '.join(f'{name} {value}' for name, value in done.replayed.as_detail().items())}."
        yield from hanging(_twice(done.replayed.contradicted), "  ") if done.replayed.contradicted else ()
    if said or done.replayed is None:
        yield f"Done: {said or 'nothing had to change'}."
    for reason, number in done.no_proof.items():
        if reason not in plan.proof.reasons:  # it came otherwise than the plan said
            yield from hanging(f"No proof for {some(number, 'message')}: {clean(reason)}", "    ", first="  ")
    counts = " + ".join(f"{state} {count(number)}" for state, number in done.counts.items() if number)
    yield f"Now: planned {count(sum(done.counts.values()))} = {counts or '0'}"
    if done.waiting_for_hosts:
        yield from hanging(clean(done.waiting_for_hosts), "")
    if done.unasked:
        yield (
            f"{some(done.unasked, 'message')} in doubt: not asked about yet, at the pace of the service. Again in a"
            f" minute: sendctl recover --campaign {plan.campaign}"
        )
    elif done.in_doubt:
        yield f"{some(done.in_doubt, 'message')} in doubt: hold, or decide with --in-doubt resend or skip."
    elif plan.over:
        yield f"The campaign is {plan.status}: nothing more of it is sent."
    elif plan.status == "paused":
        yield f"The campaign is paused. Next: sendctl resume {plan.campaign}"
    elif done.waiting_for_hosts:
        yield f"Next, on each of them: sendctl recover --campaign {plan.campaign}"
    elif _waits(done):
        yield f"Next: sendctl send-due --campaign {plan.campaign}"
    else:
        yield "Nothing is left to send."


def _twice(messages: list[int]) -> str:
    """What nobody can put right any more: who to apologise to."""
    shown = ", ".join(str(message_id) for message_id in messages[:SHOWN_TWICE])
    more = ", ..." if len(messages) > SHOWN_TWICE else ""
    return (
        f"{some(len(messages), 'message')} had left before the store was put back and were sent again since: these"
        f" people got it twice, or may have. `sendctl show ID` says more: {shown}{more}"
    )


def _waits(done: Recovered) -> bool:
    return any(number for state, number in done.counts.items() if state in ("queued", "sending"))


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as data."""
    return {
        "schema": "sendctl.recover/1", "campaign": plan.campaign, "status": plan.status, "made_at": iso(plan.made_at),
        "in_doubt_choice": plan.choice, "failed_too": plan.with_failed, "counts": _counts(plan.counts),
        "rewound": plan.rewound or None, "forgotten": plan.forgotten, "hosts_behind": plan.behind,
        "replayed": {"sent": plan.replayed.sent, "in_doubt": len(plan.replayed.in_doubt)} if plan.rewound else None,
        "dead_runs": [
            {
                "id": dead.run.id, "host": dead.run.hostname, "started_at": iso(dead.run.started_at),
                "recorded": dead.recorded, "requeued": dead.requeued, "in_doubt": len(dead.in_doubt),
                "of_other_campaigns": dead.others,
            }
            for dead in plan.dead_runs
        ],
        "alive_runs": [run.id for run in plan.alive], "in_flight": plan.in_flight,
        "expired_claims": plan.expired_claims, "proven_sent": len(plan.proof.accepted),
        "proven_absent": len(plan.proof.absent), "no_proof": plan.proof.reasons,
        "in_doubt": len(plan.doubtful), "failed": len(plan.failed_ids), "given_up": len(plan.given_up_ids),
        "worst_case_duplicates": plan.worst_case_duplicates, "worst_case_missed": plan.worst_case_missed,
        "does_something": plan.does_something, "applied": None,
    }  # fmt: skip


def recovered_json(done: Recovered) -> dict[str, Any]:
    """What was done as data."""
    names = (
        "recorded", "requeued", "proven_sent", "proven_absent", "resent", "skipped", "retried", "in_doubt", "unasked",
    )  # fmt: skip
    return {name: getattr(done, name) for name in names} | {
        "replayed": done.replayed.as_detail() if done.replayed is not None else None,
        "no_proof": done.no_proof,
        "contradicted_messages": done.replayed.contradicted if done.replayed is not None else [],
        "waiting_for_hosts": done.waiting_for_hosts or None,
        "counts": _counts(done.counts),
        "exit_code": int(done.exit_code),
    }


def _counts(counts: Any) -> dict[str, int]:
    return {str(state): number for state, number in counts.items()}

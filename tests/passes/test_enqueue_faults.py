"""What is wrong with a campaign, and what with a row: told apart, said with its place, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendctl import faults
from sendctl.errors import BadInput, UsageError
from sendctl.passes import enqueue
from sendctl.store.id_set import IdSet
from tests.store.ground import DRIP, STEP, Ground, campaign_file, contacts_file

PEOPLE = "email,first_name,town,vip\nana@x.example,Ana,Graz,1\nben@x.example,Ben,Wien,\n"


def step(subject: str = "Hello", text: str = "Hi") -> str:
    return f'name = "offer"\nsubject = "{subject}"\ntext = """\n{text}\n"""\n'


def refused(ground: Ground, contacts: str = PEOPLE, *, skip: bool = True, **campaign: object) -> BadInput:
    """The error of an enqueue that must write nothing: not in the store, and no file of bad rows."""
    before, files = ground.dump(), names(ground.folder)
    skip_bad = ground.folder / "bad.csv" if skip else None
    with pytest.raises(BadInput) as caught:
        ground.enqueue(contacts=contacts, skip_bad=skip_bad, **campaign)
    assert ground.dump() == before
    assert names(ground.folder) <= files | {"campaign.toml", "contacts.csv"}
    return caught.value


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith("store.db")}


def given(ground: Ground, campaign: str, name: str, people: str, *, skip: bool = True) -> enqueue.EnqueueReport:
    """Enqueue what these files say."""
    path, contacts = ground.folder / "campaign.toml", ground.folder / name
    path.write_text(campaign)
    contacts.write_text(people)
    skip_bad = ground.folder / "bad.csv" if skip else None
    return enqueue.run(ground.context, path, contacts=contacts, skip_bad=skip_bad)


def placed(ground: Ground, error: BadInput) -> str:
    """The error without the folder's name."""
    return str(error).replace(f"{ground.folder}/", "")


@pytest.mark.parametrize("skip", [True, False])
def test_a_variable_without_a_column_is_the_campaigns_mistake(sqlite_ground: Ground, skip: bool) -> None:
    error = refused(sqlite_ground, steps=[step(text="Dear {{ contact.frist_name }}")], skip=skip)
    said = "campaign.toml:13:9: the templates use contact.frist_name, and contacts.csv has no column 'frist_name'"
    assert placed(sqlite_ground, error) == said
    assert 'did you mean "contact.first_name"? the columns are: email, first_name, town, vip.' in error.hint


def test_a_guarded_variable_without_a_column_is_none(sqlite_ground: Ground) -> None:
    text = '{{ contact.nick|default("you") }}{% if contact.age is defined %}{{ contact.age }}{% endif %}'
    assert sqlite_ground.enqueue(contacts=PEOPLE, steps=[step(text=text)]).enrolled == 2


@pytest.mark.parametrize(
    "text",
    [
        "{% if contact.vip %}{{ contact.frist_name }}{% endif %}",
        "{% if not contact.vip %}{{ contact.frist_name }}{% endif %}",
        '{% if contact.town == "Wien" %}{{ contact.frist_name }}{% endif %}',
    ],
)
def test_it_is_found_also_where_only_some_rows_come_to_it(sqlite_ground: Ground, text: str) -> None:
    assert "has no column 'frist_name'" in str(refused(sqlite_ground, steps=[step(text=text)]))


def test_it_is_found_in_a_file_without_rows_and_in_a_later_step(sqlite_ground: Ground) -> None:
    error = refused(sqlite_ground, "email,first_name\n", steps=[STEP, DRIP.replace("first_name", "town")])
    assert "campaign.toml:18:24: the templates use contact.town" in str(error)


def test_all_variables_without_a_column_come_in_one_error(sqlite_ground: Ground) -> None:
    error = refused(sqlite_ground, steps=[step("{{ contact.twon }}", "{{ contact.frist_name }} {{ tokn }} {{ link }}")])
    lines = placed(sqlite_ground, error).splitlines()
    assert lines[0] == "4 variables of campaign.toml are nobody's; nothing was written"
    assert [line.split(",")[0].strip() for line in lines[1:]] == [
        "campaign.toml:13:4: the templates use contact.frist_name",
        "campaign.toml:11:15: the templates use contact.twon",
        "campaign.toml:13:40: the templates use link",
        "campaign.toml:13:29: the templates use tokn",
    ]


def test_a_key_that_no_json_record_has_is_the_campaigns_mistake_too(sqlite_ground: Ground) -> None:
    rows = '{"email": "a@x.example", "name": "A"}\n{"email": "b@x.example", "name": "B"}\n'
    campaign = campaign_file(steps=[step(text="{{ contact.nmae }}")])
    with pytest.raises(
        BadInput, match=r"campaign\.toml:13:4: the templates use contact\.nmae, and no record"
    ) as caught:
        given(sqlite_ground, campaign, "p.jsonl", rows)
    assert 'did you mean "contact.name"? a record has: email, name.' in caught.value.hint


def test_a_key_that_one_json_record_lacks_is_that_records_mistake(sqlite_ground: Ground) -> None:
    rows = '{"email": "a@x.example", "name": "A"}\n{"email": "b@x.example"}\n'
    campaign = campaign_file(steps=[step(text="{{ contact.name }}")])
    with pytest.raises(BadInput, match=r"p\.jsonl:2:name: the template uses contact\.name, which this row lacks"):
        given(sqlite_ground, campaign, "p.jsonl", rows, skip=False)
    assert given(sqlite_ground, campaign, "p.jsonl", rows).skipped == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ contact.town|frob }}", "step 'offer': text, line 2: filter frob is unknown"),
        ("{% if contact.vip %}{{ contact.town|frob }}{% endif %}", "filter frob is unknown"),
        ("{% for i in range(90000) %}{{ i }}{% endfor %}", "step 'offer': text, line 2: engine ran out of fuel"),
        ("{{ contact.town.frob() }}", "text, line 2: string has no method named frob"),
        ("{{ contact.town", "step 'offer': text, line 2: unexpected end of input"),
    ],
)
def test_a_template_that_fails_for_everybody_is_the_campaigns_mistake(
    sqlite_ground: Ground, text: str, problem: str
) -> None:
    error = refused(sqlite_ground, steps=[step(text=f"Hello\n{text}")])
    assert error.place == str(sqlite_ground.folder / "campaign.toml:14")
    assert problem in str(error)


def test_an_unsubscribe_url_that_is_too_long_for_everybody_is_the_campaigns_mistake(sqlite_ground: Ground) -> None:
    url = f'unsubscribe_url = "https://shop.example/{"x" * 900}/{{{{ token }}}}"'
    campaign = f'[campaign]\nname = "sale"\nfrom = "a@x.example"\n{url}\n[[steps]]\n{STEP}'
    with pytest.raises(BadInput, match=r"campaign\.toml:4:19: step 'offer': unsubscribe_url is longer than 900"):
        given(sqlite_ground, campaign, "p.csv", PEOPLE)
    assert not (sqlite_ground.folder / "bad.csv").exists()


@pytest.mark.parametrize(
    ("content", "place", "problem"),
    [
        ("<p>\n\n{{ contact.first_name </p>", ":3", "html, line 3: "),
        ("<p>\n{{ contact.first_name|frob }}", ":2", "html, line 2: filter frob is unknown"),
        ("<p>\n  {{ contact.frist_name }}", ":2:6", "the templates use contact.frist_name"),
    ],
)
def test_a_mistake_in_a_template_file_is_named_there(
    sqlite_ground: Ground, content: str, place: str, problem: str
) -> None:
    (sqlite_ground.folder / "offer.html").write_text(content)
    error = refused(sqlite_ground, steps=['name = "offer"\nsubject = "Hello"\nhtml_file = "offer.html"\n'])
    assert error.place == f"{sqlite_ground.folder}/offer.html{place}"
    assert problem in str(error)


@pytest.mark.parametrize("text", [r'"Hello\n{{ contact.town|frob }}"', r'"""\n  Hello \u007b{ contact.twon }}"""'])
def test_where_escapes_hide_the_line_the_key_is_named(sqlite_ground: Ground, text: str) -> None:
    error = refused(sqlite_ground, steps=[f'name = "offer"\nsubject = "Hello"\ntext = {text}\n'])
    assert error.place == str(sqlite_ground.folder / "campaign.toml:12:8")


def test_the_column_whose_value_is_at_fault_is_named(sqlite_ground: Ground) -> None:
    rows = 'email,first_name,town\na@x.example,"A\nBcc: e@x",Graz\nb@x.example,B,Wien\n'
    error = refused(sqlite_ground, rows, skip=False, steps=[step("Hello {{ contact.first_name }}")])
    assert "contacts.csv:2:2: first_name: subject holds the control character U+000A" in str(error)
    sqlite_ground.enqueue(
        contacts=rows, skip_bad=sqlite_ground.folder / "bad.csv", steps=[step("Hello {{ contact.first_name }}")]
    )
    assert "2,column 2: first_name: subject holds" in (sqlite_ground.folder / "bad.csv").read_text()


def test_a_value_that_a_filter_cannot_read_is_the_rows_mistake(sqlite_ground: Ground) -> None:
    rows = "email,first_name,age\na@x.example,A,x\nb@x.example,B,7\n"
    error = refused(sqlite_ground, rows, skip=False, steps=[step(text="{{ contact.age|int }}")])
    assert "contacts.csv:2:3: age: text, line 1: " in str(error)


def test_where_no_single_column_is_at_fault_none_is_named(sqlite_ground: Ground) -> None:
    rows = "email,first_name,town\na@x.example,\x0b,\x0b\nb@x.example,B,Wien\n"
    error = refused(sqlite_ground, rows, skip=False, steps=[step("{{ contact.first_name }}{{ contact.town }}")])
    assert "contacts.csv:2: subject holds the control character U+000B" in str(error)
    steps = [step("{{ contact.first_name }}{{ contact.town }}")]
    sqlite_ground.enqueue(contacts=rows, skip_bad=sqlite_ground.folder / "bad.csv", steps=steps)
    assert "\n2,subject holds the control character" in (sqlite_ground.folder / "bad.csv").read_text()


def test_a_file_of_bad_rows_only_is_refused_also_with_skip_bad(sqlite_ground: Ground) -> None:
    error = refused(sqlite_ground, "email,first_name\na@x,A\nb@x,B\n")
    assert str(error).startswith("all 2 rows cannot be used; nothing was written\n")
    assert error.hint == "no row can be used: --skip-bad leaves out some rows, never all."
    assert "contacts.csv:2:1: email: the domain 'x' has no dot" in str(
        refused(sqlite_ground, "email,first_name\na@x,A\n")
    )


def test_a_file_without_addresses_is_refused_once(sqlite_ground: Ground) -> None:
    error = refused(sqlite_ground, "phone,first_name\n+491721234567,A\n+491721234568,B\n")
    assert "contacts.csv: the campaign sends e-mail, and no column is named 'email'" in str(error)


def test_a_changed_template_that_fails_for_someone_enrolled_is_named_with_its_place(sqlite_ground: Ground) -> None:
    sqlite_ground.enqueue(2)
    error = refused(sqlite_ground, contacts_file(1, 2), steps=[step(text="{{ contact.first_name|frob }}")])
    assert "campaign.toml:13: step 'offer': text, line 1: filter frob is unknown" in str(error)
    assert "(for p00001@x.example, already enrolled)" in str(error)


BAD = "email,first_name\nana@x.example,Ana\nnot an address,Bob\n"


def test_a_dry_run_leaves_no_file_of_bad_rows(sqlite_ground: Ground) -> None:
    path = sqlite_ground.folder / "bad.csv"
    assert sqlite_ground.enqueue(contacts=BAD, skip_bad=path, dry_run=True).skipped == 1
    assert not path.exists()


@pytest.mark.parametrize("point", ["enqueue.before_commit", "enqueue.committed"])
def test_an_enqueue_that_dies_leaves_no_file_of_bad_rows_and_the_same_again_makes_it(
    sqlite_ground: Ground, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    path = sqlite_ground.folder / "bad.csv"
    for attribute, value in (("_name", point), ("_action", "raise"), ("_left", 1)):
        monkeypatch.setattr(faults, attribute, value)
    with pytest.raises(faults.InjectedFault):
        sqlite_ground.enqueue(contacts=BAD, skip_bad=path)
    assert not [name for name in names(sqlite_ground.folder) if "bad" in name]
    sqlite_ground.enqueue(contacts=BAD, skip_bad=path)
    assert "not an address" in path.read_text()
    assert sqlite_ground.states() == {"queued": 1}


def test_a_file_that_is_there_already_is_never_taken_for_bad_rows(sqlite_ground: Ground) -> None:
    path = sqlite_ground.folder / "bad.csv"
    path.write_text("of last night\n")
    with pytest.raises(UsageError, match="is there already"):
        sqlite_ground.enqueue(contacts=BAD, skip_bad=path)
    assert path.read_text() == "of last night\n"
    assert sqlite_ground.states() == {}
    with pytest.raises(UsageError, match="is about a contacts file"):
        sqlite_ground.enqueue(skip_bad=sqlite_ground.folder / "other.csv")


def test_a_file_without_people_is_warned_of(sqlite_ground: Ground) -> None:
    report = sqlite_ground.enqueue(contacts="email,first_name\n,\n\n")
    assert report.warnings == [f"{sqlite_ground.folder}/contacts.csv has no records: nobody was added to campaign sale"]
    assert sqlite_ground.enqueue(2).warnings == []
    assert sqlite_ground.enqueue().warnings == []
    assert sqlite_ground.enqueue(name="empty").warnings == [
        "campaign empty has nobody yet: --contacts FILE adds people"
    ]


def test_a_set_of_ids_is_exact() -> None:
    numbers = [0, 1, 7, 8, 32767, 32768, 1 << 40, -1, -32768, -32769]
    ids = IdSet()
    assert [ids.add(number) for number in numbers] == [True] * len(numbers)
    assert [ids.add(number) for number in numbers] == [False] * len(numbers)
    assert len(ids) == len(numbers)


@pytest.mark.parametrize("name", ["order.id", "voucher"])
def test_a_variable_that_no_contact_could_have_is_told_where_the_list_is(sqlite_ground: Ground, name: str) -> None:
    error = refused(sqlite_ground, steps=[step(text=f"{{{{ {name} }}}}")])
    assert f"the templates use {name}, which" in str(error)
    assert "docs/templates.md lists the variables." in error.hint


@pytest.mark.parametrize("value", ['{"city": "Graz"}', '["Graz", "Wien"]'])
def test_a_failure_with_every_value_of_its_shape_is_the_campaigns_mistake(sqlite_ground: Ground, value: str) -> None:
    rows = f'{{"email": "a@x.example", "town": {value}}}\n{{"email": "b@x.example", "town": {value}}}\n'
    campaign = campaign_file(steps=[step(text="{{ contact.town|round }}")])
    with pytest.raises(BadInput, match=r"campaign\.toml:.* step 'offer': text, line 1: cannot round"):
        given(sqlite_ground, campaign, "p.jsonl", rows)


def test_damaged_data_of_someone_enrolled_are_named_with_the_campaign_file(sqlite_ground: Ground) -> None:
    """The failure is about the data, and names no part of a template."""
    sqlite_ground.enqueue(contacts=PEOPLE, steps=[step(text="Hi {{ contact.town }}")])
    damaged = '{"email": "ana@x.example", "town": "a\\u0000b"}'
    sqlite_ground.change("UPDATE enrollments SET snapshot = :damaged WHERE id = 1", damaged=damaged)
    error = refused(sqlite_ground, contacts="email,town\n", steps=[step(text="Hello {{ contact.town }}")])
    assert placed(sqlite_ground, error).startswith("campaign.toml: step 'offer': ")
    assert "contact.town holds a NUL character" in str(error)
    assert "ana@x.example, already enrolled" in str(error)

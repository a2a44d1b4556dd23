"""Templates: data stays data, nothing escapes the sandbox, nothing undefined or endless gets into a mail."""

from __future__ import annotations

import pytest

from sendctl.rendering import data
from sendctl.rendering.failures import RenderError, UndefinedError
from sendctl.rendering.templates import MAX_PART_BYTES, Template
from tests.rendering.samples import ANA, FROZEN, person, renderer

PAYLOADS = [
    "{{7*7}}",
    "{{ contact.__class__ }}",
    "{% for x in range(9) %}x{% endfor %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "{# gone #}",
    "%(x)s {0.__class__} %s %n",
    "}}{{ token }}{{",
    "{% raw %}",
]

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ contact.__class__ }}",
    "{{ contact.__init__.__globals__ }}",
    "{{ contact['__class__'] }}",
    "{{ contact|attr('__class__') }}",
    "{{ contact.items.__self__ }}",
    "{{ contact.keys.__class__ }}",
    "{{ contact.pop('first_name') }}",
    "{{ contact.clear() }}",
    "{{ contact.update({'a': 1}) }}",
    "{{ contact.setdefault('a', 1) }}",
    "{{ contact.copy }}",
    "{{ contact.items }}",
    "{{ contact.keys }}",
    "{{ rows.count }}",
    "{{ rows.count ~ '' }}",
    "{{ rows.append(1) }}",
    "{% set x = rows.append(1) %}",
    "{% set x = contact.update({'a': 1}) %}",
    "{{ rows.__class__ }}",
    "{{ '{0.__class__}'.format(contact) }}",
    "{{ (1).__class__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler.__init__ }}",
    "{{ namespace.__init__ }}",
    "{{ self }}",
    "{{ self._TemplateReference__context }}",
    "{{ request }}",
    "{{ config }}",
    "{{ environment }}",
    "{{ debug() }}",
    "{{ range.__class__ }}",
    "{% include '/etc/passwd' %}",
    "{% include 'text' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% from 'os' import system %}",
    "{% extends 'html' %}",
    "{{ contact }}",
    "{{ none }}",
    "{{ contact.get('absent') }}",
    "{{ 'x' if false }}",
    "{{ absent }}",
    "{{ now() }}",
    "{{ [1, 2]|random }}",
]

ENDLESS = [
    "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
    "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ 'a' * 100000000000000 }}",
    "{{ 'a' * 2000000 }}",
    "{{ 'é' * 600000 }}",
    "{{ range(100000000)|join }}",
    "{{ 10 ** 1000000 }}",
    "{{ 1 // 0 }}",
]


def scope() -> dict[str, object]:
    return {"contact": data.frozen(dict(ANA.contact), "contact"), "rows": data.frozen([{"a": 1}], "rows")}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_in_the_data_comes_out_literally(payload):
    preview = renderer(html="{{ contact.first_name|safe }}").preview(person(first_name=payload), FROZEN)
    assert preview.subject == f"Hello {payload}"
    assert preview.text.startswith(f"Hello {payload},")
    assert preview.html == payload + "\n"


@pytest.mark.parametrize("source", ESCAPES)
@pytest.mark.parametrize("part", ["text", "html"])
def test_no_template_reaches_python_or_prints_what_is_not_text(source, part):
    with pytest.raises(RenderError):
        Template(part, source, owner="step 'x'").render(scope())


@pytest.mark.parametrize("source", ENDLESS)
def test_work_and_size_of_a_part_are_bounded(source):
    with pytest.raises(RenderError):
        Template("text", source, owner="step 'x'").render(scope())


def test_the_largest_part_is_allowed():
    assert len(Template("text", f"{{{{ 'a' * {MAX_PART_BYTES} }}}}", owner="").render({})) == MAX_PART_BYTES


def test_html_is_escaped_once_and_the_slashes_of_links_are_left():
    name = "<a href='x/y'>\"&</a>"
    preview = renderer(html="{{ contact.first_name }}").preview(person(first_name=name), FROZEN)
    assert preview.html == "&lt;a href=&#x27;x/y&#x27;&gt;&quot;&amp;&lt;/a&gt;\n"
    assert (preview.subject, preview.text.splitlines()[0]) == (f"Hello {name}", f"Hello {name},")


def test_html_goes_unescaped_only_where_the_template_says_safe():
    template = Template(
        "html", "{% autoescape false %}{{ contact.b }}{% endautoescape %}{{ contact.b|safe }}", owner=""
    )
    assert template.render({"contact": data.frozen({"b": "<b>"}, "contact")}) == "&lt;b&gt;<b>"


def test_a_null_is_undefined_and_so_can_have_a_default():
    row = person(first_name=None)
    assert renderer().missing(row) == ["contact.first_name"]
    assert renderer(subject="Hi {{ contact.first_name|default('you') }}", text="x", html="").missing(row) == []


@pytest.mark.parametrize("column", ["copy", "pop", "update", "clear", "items", "keys", "values", "get"])
def test_a_column_named_like_a_method_of_dict_is_a_column(column):
    template = Template("text", f"{{{{ contact.{column} }}}}", owner="")
    assert template.render({"contact": data.frozen({column: "mine"}, "contact")}) == "mine"
    assert template.missing({"contact": data.frozen({}, "contact")}) == [f"contact.{column}"]


def test_mappings_and_rows_can_be_looped_over():
    source = (
        "{% for k, v in order.spec|items %}{{ k }}={{ v }} {% endfor %}{% for i in order.items %}{{ i.n }}{% endfor %}"
    )
    order = data.frozen({"spec": {"a": 1, "b": "c"}, "items": [{"n": "x"}, {"n": "y"}]}, "order")
    assert Template("text", source, owner="").render({"order": order}) == "a=1 b=c xy"


def test_an_undefined_variable_has_its_name_part_and_line():
    with pytest.raises(UndefinedError, match=r"text, line 2: contact\.absent is undefined") as caught:
        Template("text", "one\n{{ contact.absent }}", owner="").render(scope())
    assert caught.value.name == "contact.absent"


def test_a_type_that_json_does_not_have_is_refused_by_name():
    with pytest.raises(RenderError, match=r"order\.at\[0\] is a bytes"):
        data.frozen({"at": [b"x"]}, "order")

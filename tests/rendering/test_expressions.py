"""What [trigger] makes of an order: strict, bounded, and never more than data."""

import pytest

from sendctl.definition import Trigger
from sendctl.rendering.expressions import TriggerFault, TriggerRules
from sendctl.rendering.failures import RenderError

ORDER = {
    "id": 7, "total": 49.9, "price": "49.90", "note": None, "customer": {"email": "ana@x.example"},
    "items": [{"id": 1, "status": "delivered"}, {"id": 2, "status": "packed"}], "parcel": {"lines": ["lamp", 3]},
}  # fmt: skip


def rules(**keys: str) -> TriggerRules:
    given = {"key": "{{ order.id }}", "email": "{{ order.customer.email }}"} | keys
    return TriggerRules(Trigger("order.delivered", **given))


def holds(where: str, order: dict = ORDER, **keys: str) -> list[bool]:
    made = rules(where=where, **keys)
    return [made.is_eligible(entry) for entry in made.entries(order)]


@pytest.mark.parametrize(
    ("where", "result"),
    [
        ("order.total >= 49 and order.id == 7", True),
        ("order.total > 50", False),
        ("order.price|float < 50", True),
        ("order.refund is defined", False),
        ("order.note is defined", False),
        ("order.refund|default(false)", False),
        ("'packed' in order['items']|map(attribute='status')", True),
        ("", True),
        ("  ", True),
    ],
)
def test_a_condition_is_true_or_false_of_an_order(where, result):
    assert holds(where) == [result]


def test_each_entry_of_the_list_is_asked_by_itself():
    assert holds("item.status == 'delivered'", each="items") == [True, False]
    assert holds("item != 3", each="parcel.lines") == [True, False]
    assert holds("true", {"items": []}, each="items") == []
    made = rules(each="parcel.lines", key="{{ order.id }}/{{ item }}")
    assert [made.key(entry) for entry in made.entries(ORDER)] == ["7/lamp", "7/3"]
    assert [entry.item for entry in made.entries(ORDER)] == ["lamp", 3]


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("order.refund == 1", r"where: `order\.refund` is undefined"),
        ("order.refund", "where gives nothing, not true or false"),
        ("order.total", "where gives a float, not true or false"),
        ("order.price", "where gives a str, not true or false"),
        ("order.total / 0 > 1", "where: "),
        ("order.pop('total') == 49.9", "where: "),
        ("order.__class__ == 1", "where: "),
        ("range(99999999)|length > 1", "where: "),
    ],
)
def test_what_is_neither_true_nor_false_is_an_error_of_that_order(where, reason):
    with pytest.raises(RenderError, match=reason):
        holds(where)


@pytest.mark.parametrize(
    ("keys", "key", "reason"),
    [
        ({"where": "order.total >"}, "where", "where: unexpected end of input"),
        ({"where": "true }} {{ false"}, "where", "where: "),
        ({"where": "1|nope == 1"}, "where", "where: filter nope is unknown"),
        ({"where": "total > 5"}, "where", "where uses total: it sees order"),
        ({"where": "item.id == 1"}, "where", "where uses item.id: `item` needs `each`"),
        ({"key": "{{ order.id"}, "key", r"\[trigger\]: key, line 1"),
        ({"key": "{{ contact.email }}"}, "key", "key uses contact.email"),
        ({"email": "{{ customer.email }}"}, "email", "email uses customer.email"),
        ({"where": "\ud800"}, "where", "lone surrogate"),
    ],
)
def test_what_is_wrong_for_every_order_names_the_key_of_the_trigger(keys, key, reason):
    with pytest.raises(TriggerFault, match=reason) as caught:
        rules(**keys)
    assert caught.value.key == key


def test_a_filter_that_does_not_exist_is_the_triggers_fault_also_where_only_data_lead_to_it():
    made = rules(where="order.total|nope == 1")
    with pytest.raises(TriggerFault, match="where: filter nope is unknown"):
        made.is_eligible(made.entries(ORDER)[0])


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({}, r"order\.items is no list"),
        ({"items": {"id": 1}}, r"order\.items is no list"),
        ({"items": None}, r"order\.items is no list"),
        ({"items": [{"id": 1}, None]}, r"order\.items has an entry that is null"),
    ],
)
def test_an_order_without_the_list_cannot_be_judged(order, reason):
    with pytest.raises(RenderError, match=reason):
        rules(each="items").entries(order)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"id": ""}, "key gives '', which cannot name an order"),
        ({"id": "a\nb"}, "cannot name an order"),
        ({"id": "x" * 256}, "256 characters, the limit is 255"),
        ({}, r"order\.id is undefined"),
        ({"id": None}, r"order\.id is undefined"),
        ({"id": [1]}, "an expression gives a"),
    ],
)
def test_a_key_that_names_nothing_is_an_error(order, reason):
    made = rules()
    with pytest.raises(RenderError, match=reason):
        made.key(made.entries(order)[0])


def test_an_order_is_data_and_never_a_template():
    made = rules(key="{{ order.id }}")
    payload = "{{ 7*7 }}{% for x in range(9) %}"
    assert made.key(made.entries({"id": payload})[0]) == payload

"""Places in TOML texts: every key that tomllib finds has one, and it is the right one."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sendctl.tomlfile.places import KeyPath, Place, find_places

AWKWARD = """\
# [comment] a = 1
top = 1
dotted . "quo.ted" . 'lit' = "a # no comment" # b = 2
[table]   # c
many = [ 1, "]", [2, { x = 3, y = [4] }], # ,
  '''
  ''', ]
text = \"\"\"
[not.a.table]
n = \\"\\"\\" \"\"\"\"\"
"\\u00e9" = 'x'
[[array]]
a = 1
[array.sub]
b = 1
[[array.inner]]
[[array.inner]]
c = 1979-05-27 07:32:00
[[array]]
a = 2
[[array.inner]]
c = 3
"""


def paths_of(data: Any, path: KeyPath = ()) -> list[KeyPath]:
    """Every key path in parsed TOML, leaving out scalars in arrays."""
    if isinstance(data, dict):
        return [found for key, value in data.items() for found in [(*path, key), *paths_of(value, (*path, key))]]
    if isinstance(data, list):
        return [found for index, value in enumerate(data) for found in paths_of(value, (*path, index))]
    return []


def test_awkward_keys_and_values_are_found_where_they_stand() -> None:
    places = find_places(AWKWARD)
    assert set(paths_of(tomllib.loads(AWKWARD))) <= set(places.keys)
    expected = {
        ("top",): Place(2, 1),
        ("dotted", "quo.ted", "lit"): Place(3, 22),
        ("table",): Place(4, 1),
        ("table", "many", 2, 1, "y"): Place(5, 31),
        ("table", "text"): Place(8, 1),
        ("table", "é"): Place(11, 1),
        ("array", 0, "sub", "b"): Place(15, 1),
        ("array", 0, "inner", 1, "c"): Place(18, 1),
        ("array", 1): Place(19, 1),
        ("array", 1, "a"): Place(20, 1),
        ("array", 1, "inner", 0, "c"): Place(22, 1),
    }
    assert {path: places.of_key(path) for path in expected} == expected
    assert places.of_value(("table", "many", 2)) == Place(5, 18)
    assert places.of_value(("array", 1, "inner", 0, "c")) == Place(22, 5)


def test_a_key_that_is_not_there_has_the_place_around_it() -> None:
    places = find_places(AWKWARD)
    assert places.of_key(("array", 1, "nothing")) == Place(19, 1)
    assert places.of_key(("nowhere", "at", "all")) == Place(1, 1)


KEYS = st.sampled_from(["a", "b-c", "1", '"q.q"', "'l l'", '"e\\"s"', "k . 'm'"])
SCALARS = st.sampled_from(
    ["1", '"x"', "'# ]'", '"""\na = 1\n"""', "'''x'''''", "true", "2026-11-23T09:00:00Z", "-1.5e3"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[ # c ]\n" + ",\n".join(items) + "]"),
        st.lists(st.tuples(KEYS, inner), max_size=2, unique_by=lambda pair: pair[0]).map(
            lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=6,
)
PAIRS = st.lists(st.tuples(KEYS, VALUES), max_size=4, unique_by=lambda pair: pair[0])
SECTIONS = st.lists(st.tuples(st.sampled_from(["[t{}]", "[[r]]", "[[r . s]]", '["u{}".v]']), PAIRS), max_size=5)


@given(PAIRS, SECTIONS)
def test_every_key_of_generated_toml_is_found_on_its_own_line(top: Any, sections: Any) -> None:
    lines = [f"{key} = {value}" for key, value in top]
    for number, (header, pairs) in enumerate(sections):
        lines += [header.format(number), *(f"{key} = {value}" for key, value in pairs)]
    text = "\n".join(lines)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # a section of an array that is not there yet
    places = find_places(text)
    for path in paths_of(data):
        offset = places.keys[path]
        key = str(path[-1]).replace('"', '\\"')
        assert text.startswith((key, f'"{key}"', f"'{key}'", "["), offset), (path, text[offset : offset + 20])

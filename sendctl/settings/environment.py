"""SENDCTL_ variables: which section and key each stands for, and which provider's table it belongs to.

An empty variable counts as not set. Variables of no known section are not ours and are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sendctl.tomlfile import Variable

PREFIX = "SENDCTL_"
SECTIONS = ("store", "send", "journal", "reconcile", "events", "limits", "accounts", "letters", "providers")


def section_variables(environ: Mapping[str, str], referenced: Collection[str]) -> dict[str, dict[str, Variable]]:
    """Variables by section and key, both in lower case: SENDCTL_STORE_URL is `url` of `store`.

    `referenced` are variables that hold a secret for some `*_env` key: those are no keys, whatever their names.
    """
    found: dict[str, dict[str, Variable]] = {section: {} for section in SECTIONS}
    for name, text in environ.items():
        if not text or not name.startswith(PREFIX) or name != name.upper() or name in referenced:
            continue
        section, _, key = name.removeprefix(PREFIX).lower().partition("_")
        if section in SECTIONS:
            found[section][key] = Variable(name, text)
    return found


def as_written(provider: str) -> str:
    """A provider's name as it stands in a variable's key: lower case, dashes as underscores."""
    return provider.lower().replace("-", "_")


def provider_names(known: Iterable[str], variables: Mapping[str, Variable]) -> list[str]:
    """The known names, then those that only a SENDCTL_PROVIDERS_<NAME>_TYPE variable defines."""
    names = list(dict.fromkeys(known))
    for key in sorted(variables):
        written = key.removesuffix("_type")
        if written != key and written not in map(as_written, names):
            names.append(written.replace("_", "-"))
    return names


def provider_of(key: str, names: Iterable[str]) -> str | None:
    """Whose table the variable key `primary_host` belongs to: the longest name that fits."""
    fitting = [name for name in names if key.startswith(as_written(name) + "_")]
    return max(fitting, key=len, default=None)


def unquoted(variable: Variable) -> Variable:
    """A variable whose text may stand in double quotes, as it would in the file."""
    text = variable.text
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return Variable(variable.name, text[1:-1]) if quoted else variable

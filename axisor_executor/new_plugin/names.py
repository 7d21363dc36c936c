"""What a new plugin is called, in each place that needs a name; and which names it can't have."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from axisor_executor.errors import AxisorError

LONGEST: Final = 40
OURS: Final = frozenset(
    """
    alerts_apprise auto_entry dca_entry executor laddered_take_profit margin_guard paper_exchange tp_sl trailing_stop
    """.split()  # noqa: SIM905  (a list would take a line for each)
)
"""Names of the house, also where its distributions are not installed."""

IMPORTED: Final = frozenset(
    """
    AccountContext Act Annotated Any AutomationConfig AutomationHandler Callable ClassVar ClosePosition Decimal
    Decision Field Group HandlerContract InvalidConfig Lane Literal Mapping Number Self Side StaleData Trade
    """.split()  # noqa: SIM905  (a list would take a line for each)
)
"""What the generated modules import: no class of theirs can be called so."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")
_AUTHOR = re.compile(r"(?P<name>[^<>,]*[^<>,\s])(?:\s*<(?P<email>[^<>,\s]+@[^<>,\s]+)>)?")
_LONGEST_TEXT: Final = 100


@dataclass(frozen=True)
class Names:
    """The names of one plugin: ``calm_exit``, ``axisor_calm_exit``, ``axisor-calm-exit``, ``CalmExit``."""

    name: str
    type: str
    package: str
    distribution: str
    class_name: str


@dataclass(frozen=True)
class Texts:
    """What a plugin says of itself.

    Raises:
        AxisorError: a text is blank, too long or not one printable line (``plugin_text_invalid``).
    """

    title: str
    description: str
    author: str | None = None

    def __post_init__(self) -> None:
        for what, text in (("title", self.title), ("description", self.description), ("author", self.author)):
            if text is not None and (not text.strip() or not text.isprintable() or len(text) > _LONGEST_TEXT):
                raise AxisorError(
                    f"the {what} must be one line of 1 to {_LONGEST_TEXT} printable characters",
                    status=400,
                    code="plugin_text_invalid",
                )
        if self.author is not None and not _AUTHOR.fullmatch(self.author):
            raise AxisorError(
                "the author must be a name without a comma, or NAME <EMAIL>", status=400, code="plugin_text_invalid"
            )

    def author_parts(self) -> dict[str, str]:
        """Return the author's ``name`` and ``email``, those that are known."""
        found = _AUTHOR.fullmatch(self.author) if self.author else None
        return {} if found is None else {key: value for key, value in found.groupdict().items() if value}


def name_plugin(name: str, *, automation_type: str | None = None, installed: Mapping[str, str]) -> Names:
    """Return the names of a new plugin.

    Args:
        name: words of lower case letters and digits, with ``_`` or ``-`` between: ``calm_exit``.
        automation_type: the type, where it differs from the name.
        installed: the automation types that are there, with the plugin that has each.

    Raises:
        AxisorError: no name for a plugin (``plugin_name_invalid``), or another's (``plugin_name_taken``).
    """
    stem = _checked(name, "NAME").replace("-", "_")
    class_name = "".join(word.capitalize() for word in stem.split("_"))
    if keyword.iskeyword(stem) or keyword.iskeyword(class_name) or hasattr(builtins, class_name):
        raise _invalid(f"{name} is a word of Python itself; take another NAME")
    if {class_name, f"{class_name}Config"} & IMPORTED:
        raise _invalid(f"{class_name} is a name that plugins import; take another NAME")
    if stem.startswith("axisor_"):
        raise _invalid(f"leave axisor out of the NAME, it is put before it: {stem.removeprefix('axisor_')}")
    chosen = stem if automation_type is None else _checked(automation_type, "--type").replace("-", "_")
    package = f"axisor_{stem}"
    if stem in OURS or importlib.util.find_spec(package) is not None:
        raise _taken(f"there is a package {package} already; take another NAME")
    if chosen in OURS or chosen in installed:
        whose = installed.get(chosen, "a plugin of the house")
        raise _taken(f"automations of type {chosen} are those of {whose}; take another NAME, or give --type")
    return Names(stem, chosen, package, package.replace("_", "-"), class_name)


def core_range(version: str) -> str:
    """Return the versions of the core that a plugin made with ``version`` works with: up to the next breaking one."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f">={major}.{minor},<{f'0.{minor + 1}' if major == 0 else major + 1}"


def _checked(name: str, what: str) -> str:
    if _NAME.fullmatch(name) and len(name) <= LONGEST:
        return name
    words = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    close = "_".join(words)[:LONGEST].strip("_")
    hint = f"; how about {close}?" if close != name and _NAME.fullmatch(close) else ""
    raise _invalid(
        f"{what} must be words of a-z and 0-9, a letter first, with _ or - between, {LONGEST} characters at most{hint}"
    )


def _invalid(message: str) -> AxisorError:
    return AxisorError(message, status=400, code="plugin_name_invalid")


def _taken(message: str) -> AxisorError:
    return AxisorError(message, status=409, code="plugin_name_taken")

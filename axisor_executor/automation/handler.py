"""The base of every automation type's handler and of its config."""

from __future__ import annotations

import builtins
import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError
from pydantic_core import ErrorDetails

from axisor_executor.automation.context import AccountContext
from axisor_executor.automation.decisions import Decision
from axisor_executor.automation.fields import Whole, quoted
from axisor_executor.automation.versions import KEY
from axisor_executor.errors import AxisorError, InvalidConfig, InvalidJob

Lane = Literal["protect", "default"]
LONGEST_COOLDOWN = 31_536_000
ALL_SATS = 2_100_000_000_000_000
"""All bitcoin there will ever be, in sats."""


class AutomationConfig(BaseModel):
    """Base of the config models: frozen, snake_case, and strict about keys it does not know.

    A misspelt key must not silently turn a condition off, so unknown keys are refused. ``ignored_keys`` are those
    that existing rows carry and nothing acts on: they are accepted, and said once in a warning, as are those that the
    chosen action has no use for (:attr:`used_only_by`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dry_run: StrictBool = Field(
        False,
        description="Decide and record what would be sent, and send nothing. The core sees to it, whatever the type.",
        examples=[True],
    )

    used_only_by: ClassVar[Mapping[str, frozenset[str]]] = {}
    """Keys that some actions alone use, with those actions. For any other action they count as left out, whatever
    their value: existing rows carry forms' defaults (0, "") there. Never name a key that is a condition."""

    ignored_keys: ClassVar[frozenset[str]] = frozenset(
        {
            "enabled",
            "plan_type",
            "notifications",
            "protection_mode",
            "individual_configs",
            "new_liquidation_distance",
        }
    )


class SpendGuards(BaseModel):
    """Keys that the core enforces for any automation whose config has them; mix it into a config model."""

    cooldown_seconds: Annotated[int, Whole(above=0, most=LONGEST_COOLDOWN, unit="seconds")] | None = Field(
        None,
        description=(
            "After this automation has acted on a trade, it leaves it, and what replaced it, alone for this long;"
            " a year at most."
        ),
        examples=[300],
    )
    max_daily_add_margin: Annotated[int, Whole(above=0, most=ALL_SATS, unit="sats")] | None = Field(
        None,
        description="The most that this automation adds to margins on its account in any 24 hours; more is refused.",
        examples=[100_000],
    )


ConfigT = TypeVar("ConfigT", bound=AutomationConfig)


class AutomationHandler(ABC, Generic[ConfigT]):
    """Decides for one automation type. One instance serves all threads, so it keeps no state.

    Attributes:
        type: the automation's type in the database (``"margin_guard"``).
        title: how logs name it (``"Margin Guard"``).
        actions: every action by name, with its lane: ``"protect"`` for what must never wait behind entries,
            else ``"default"``.
        entries: those actions that open new risk; they are refused on an inactive account before anything is read.
        collapses: a job is dropped (``cancelled``, ``duplicate``) while one for the same automation, trade and
            action waits that has not begun, or is held with nothing sent yet.
        config_model: the pydantic model of the config.
        config_version: the version of the config's form; raise it with each change that older rows don't fit, and
            write the step from the one before into :meth:`upgrade_config`.
    """

    type: ClassVar[str]
    title: ClassVar[str]
    actions: ClassVar[Mapping[str, Lane]]
    entries: ClassVar[frozenset[str]] = frozenset()
    collapses: ClassVar[bool] = False
    config_model: ClassVar[builtins.type[AutomationConfig]]
    config_version: ClassVar[int] = 1

    @abstractmethod
    def decide(self, context: AccountContext[ConfigT]) -> Decision:
        """Return what to do, from the context alone.

        Pure: no I/O, no clock, no randomness, no state; the same context gives the same decision. It may run again
        after a crash. What it raises fails this run only; raise the classes of :mod:`axisor_executor.errors`
        for what a user can cause.
        """

    def upgrade_config(self, raw: dict[str, Any], version: int) -> Mapping[str, Any]:  # noqa: ARG002  for those who need it
        """Return a row's config of ``version`` as one of the version behind it; called once for each step.

        Pure, like :meth:`decide`. ``raw`` is a copy that may be changed; keys not understood are better left in it
        than dropped, so that they are refused. ``dry_run`` must stay as it is. The row is not rewritten.

        Raises:
            InvalidConfig: it has no counterpart; say what its owner has to write instead.
        """
        return raw

    def choose_action(self, job_action: str | None, config: Mapping[str, Any]) -> str:
        """Return the action that a job means: the job's own, else (the type's name, or none) the config's.

        Raises:
            InvalidJob: the job names something else.
            InvalidConfig: the config's action is missing or none of this type's.
        """
        if job_action and job_action != self.type:
            if job_action not in self.actions:
                raise InvalidJob(
                    f"action {quoted(job_action)} is none of {self.type}'s: {', '.join(sorted(self.actions))}",
                    code="unknown_action",
                )
            return job_action
        action = config.get("action")
        if len(self.actions) == 1 and action in (None, self.type):
            return next(iter(self.actions))
        if not isinstance(action, str) or action not in self.actions:
            raise InvalidConfig(
                f"action: must be one of {', '.join(sorted(self.actions))}, got {quoted(action)}"
                if action is not None
                else f"action: missing; must be one of {', '.join(sorted(self.actions))}"
            )
        return action

    def parse_config(self, raw: Mapping[str, Any], action: str) -> ConfigT:
        """Validate a row's config for ``action``; ``null``, and what the action has no use for, count as left out.

        Raises:
            InvalidConfig: every problem, one per line, each with its key.
        """
        fields = self.config_model.model_fields
        left_out = self.config_model.ignored_keys | self._unused(action) | {KEY}
        values = {
            key: value for key, value in raw.items() if key not in left_out and not (value is None and key in fields)
        }
        if "action" in fields:
            values["action"] = action
        try:
            return self.config_model.model_validate(values)  # type: ignore[return-value]
        except ValidationError as error:
            raise InvalidConfig("; ".join(_problem(item, self.config_model) for item in problems_of(error))) from None

    def ignored(self, raw: Mapping[str, Any], action: str | None = None) -> tuple[str, ...]:
        """Return the keys of a config that are accepted but not acted on by ``action`` (``None``: the config's own)."""
        if action is None:
            try:
                action = self.choose_action(None, raw)
            except AxisorError:
                return tuple(sorted(self.config_model.ignored_keys & raw.keys()))
        unused = {key for key in self._unused(action) if raw.get(key) is not None}
        return tuple(sorted((self.config_model.ignored_keys & raw.keys()) | unused))

    def _unused(self, action: str) -> frozenset[str]:
        only = self.config_model.used_only_by
        return frozenset(key for key, actions in only.items() if action not in actions)


def problems_of(error: ValidationError) -> list[ErrorDetails]:
    """Return what a value is refused for, without what pydantic says of a list whose items have problems.

    It counts those that are valid alone, and would call a list too short that is long enough.
    """
    problems = error.errors(include_url=False, include_input=False)
    return [item for item in problems if item["type"] != "too_short" or _is_too_short(item, problems)]


def _is_too_short(item: ErrorDetails, problems: Iterable[ErrorDetails]) -> bool:
    where = item["loc"]
    counted = {"actual_length": 0, "min_length": 1} | item.get("ctx", {})  # an error of a plugin's own may have none
    invalid = {other["loc"][: len(where) + 1] for other in problems if other["loc"][: len(where)] == where} - {where}
    return bool(counted["actual_length"] + len(invalid) < counted["min_length"])


_LONGEST_KEY = 80


def _problem(item: Mapping[str, Any], model: builtins.type[BaseModel]) -> str:
    key = ".".join(str(part) for part in item["loc"])
    key = key if len(key) <= _LONGEST_KEY else f"{key[: _LONGEST_KEY - 3]}..."
    if item["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, model.model_fields, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{key}: unknown key{hint}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message

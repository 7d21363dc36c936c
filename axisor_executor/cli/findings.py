"""What ``db check`` looks at: the plugins that are installed here, and the database at DATABASE_URL."""

from __future__ import annotations

from axisor_executor.cli.environment import database
from axisor_executor.errors import PluginError, StorageError
from axisor_executor.integrity import Findings, look
from axisor_executor.plugins import Registry, discover, load
from axisor_executor.settings import Settings, mask_url


def look_at_all(settings: Settings, limit: int) -> Findings:
    """Load the plugins and look at the database; what keeps either from being looked at is a finding, too.

    Raises:
        SettingsError: DATABASE_URL is not set.
    """
    url = mask_url(settings.require_database())
    registry, plugins = _load_plugins(settings, limit)
    try:
        with database(settings) as storage:
            found = look(storage, settings, registry, limit=limit)
    except StorageError as error:
        found = Findings(limit)
        found.state("database", error.message)
    found.facts = {"Database": url, **found.facts}
    found.join(plugins)
    return found


def _load_plugins(settings: Settings, limit: int) -> tuple[Registry | None, Findings]:
    found = Findings(limit)
    try:
        registry = load(discover(), disabled=settings.disabled_plugins, required=settings.required_plugins)
    except PluginError as error:
        found.state("plugins", error.message)
        return None, found
    for one in registry.plugins:
        if one.state == "failed":
            found.note("plugin_failed", {"plugin": one.found.display_name, "message": one.reason})
    return registry, found

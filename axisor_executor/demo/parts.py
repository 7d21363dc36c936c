"""What must be installed for the demo, looked at before anything is started."""

from __future__ import annotations

import importlib.util

from axisor_executor.demo.scenario import TYPES
from axisor_executor.embedded import find_redis_server
from axisor_executor.embedded.paper import MODULE as PAPER
from axisor_executor.errors import AxisorError
from axisor_executor.plugins import Registry, discover, load


def require_parts() -> Registry:
    """Return the plugins.

    Raises:
        AxisorError: a distribution that the demo needs is not installed or does not load; says what to install.
        EmbeddedServerError: there is no Redis to start.
    """
    registry = load(discover())
    missing = [f"axisor-{name.replace('_', '-')}" for name in TYPES if name not in registry.handlers]
    if importlib.util.find_spec(PAPER) is None:
        missing.append(PAPER.replace("_", "-"))
    if missing:
        raise AxisorError(
            f"the demo needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed or "
            f"not working: pip install {' '.join(missing)} (or: pip install 'axisor-executor[demo]')"
            + "".join(
                f"\n{plugin.found.display_name} failed to load: {plugin.reason}"
                for plugin in registry.plugins
                if plugin.state == "failed"
            ),
            code="demo_parts_missing",
        )
    find_redis_server()
    return registry

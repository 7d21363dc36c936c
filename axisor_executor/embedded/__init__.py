"""Private servers and child processes for the demo, ``axisor-executor up`` and the tests; none outlives its parent."""

from axisor_executor.embedded.process import ChildProcess, Guard
from axisor_executor.embedded.redis import PrivateRedis, can_listen, find_redis_server, free_port, redis_url

__all__ = ["ChildProcess", "Guard", "PrivateRedis", "can_listen", "find_redis_server", "free_port", "redis_url"]

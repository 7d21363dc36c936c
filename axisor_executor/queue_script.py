"""How messages get onto a queue and from there to a consumer: what Dramatiq's own script does, in fewer commands.

The keys are Dramatiq's (``dramatiq/brokers/redis/dispatch.lua`` says what is in them), so its producers, its consumers
and its maintenance go on working beside these scripts. Dramatiq asks once for each message that is fetched and once for
each that is done with; a turn here does all of that together. A producer shows no sign of life here: it holds nothing
that would have to be put back when it is gone.

The bell is ours: a list on which idle consumers block, with one token for each message that somebody may have to be
woken for.
"""

from __future__ import annotations

from typing import NamedTuple

from axisor_executor.redis_script import Script

MOST_IN_A_TURN = 500
"""Messages that a turn takes at most, and that it tells to be done with: a script can hand on so many, and more."""
MOST_TOKENS = 64
"""Tokens on a bell at most: those that nobody waited for cost a turn in vain, later."""


class Keys(NamedTuple):
    """The keys of one queue: ids in line, the messages by id, those that this process has, signs of life, the bell."""

    line: str
    messages: str
    taken: str
    heartbeats: str
    bell: str

    @classmethod
    def of(cls, namespace: str, queue_name: str, worker_id: str) -> Keys:
        """Return the keys of a queue, as a worker uses it."""
        line = f"{namespace}:{queue_name}"
        taken = f"{namespace}:__acks__.{worker_id}.{queue_name}"
        return cls(line, f"{line}.msgs", taken, f"{namespace}:__heartbeats__", f"{line}.bell")


# A bell that can't be rung takes no message with it: to say that it is not on its queue would have it put there again
# and again.
PUT = Script(f"""
local line, messages, bell = KEYS[1], KEYS[2], KEYS[5]
redis.call('HSET', messages, ARGV[1], ARGV[2])
redis.call('RPUSH', line, ARGV[1])
local tokens = redis.pcall('LPUSH', bell, '')
if type(tokens) == 'number' and tokens > {MOST_TOKENS} then redis.call('LTRIM', bell, 0, {MOST_TOKENS} - 1) end
""")
"""Put a message on its queue, and ring. Arguments: its id, the message."""

# Workers' clocks may differ by more than the time after which a silent one is dead. To a user who may not ask Redis for
# its own it is a worker's all the same: that is better than a turn that is refused.
NOW = """
local function now(own)
    local time = redis.pcall('TIME')
    return time.err and tonumber(own) or time[1] * 1000 + math.floor(time[2] / 1000)
end
"""
"""The time of Redis, in milliseconds since 1970. Argument: the worker's, where Redis does not tell its own."""

# An id without a message was delivered twice, and is done with since. When nothing is in line any more, there is
# nothing to wake anybody for either. A Redis that is full lets a script go on that has begun by removing something.
TURN = Script(f"""{NOW}
local line, messages, taken, heartbeats, bell = unpack(KEYS)
local room, tokens = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('SREM', taken, '', unpack(ARGV, 5))
if #ARGV > 4 then redis.call('HDEL', messages, unpack(ARGV, 5)) end
if ARGV[2] ~= '' then redis.call('ZADD', heartbeats, now(ARGV[2]), ARGV[1]) end
local answer, popped = {{0, 0}}, 0
while room > 0 do
    local ids = redis.call('LPOP', line, room) or {{}}
    local missing = 0
    popped = popped + #ids
    if #ids > 0 then
        redis.call('SADD', taken, unpack(ids))
        local found = redis.call('HMGET', messages, unpack(ids))
        for i = 1, #ids do
            if found[i] then
                answer[#answer + 1] = ids[i]
                answer[#answer + 1] = found[i]
            else
                redis.call('SREM', taken, ids[i])
                missing = missing + 1
            end
        end
    end
    if #ids < room then
        if popped ~= tokens then redis.call('DEL', bell) end
        break
    end
    room = missing
end
answer[1], answer[2] = redis.call('SCARD', taken), redis.call('LLEN', line)
return answer
""")
"""Take a consumer's turn: what it is done with, then what it takes.

Arguments: the worker's id, its time as a sign of life (milliseconds since 1970, for ``now``; or nothing where it has
shown one just now), how many messages it takes at most, how many tokens it was woken by, the ids of those that it is
done with. Returned are how many it has now, how many are left in line, then ids and messages by turns.
"""

# First in line: they have waited once already.
PUT_BACK = Script(f"""
local line, messages, taken, _, bell = unpack(KEYS)
for i = #ARGV, 1, -1 do
    if redis.call('SREM', taken, ARGV[i]) == 1 and redis.call('HEXISTS', messages, ARGV[i]) == 1 then
        redis.call('LPUSH', line, ARGV[i])
        redis.pcall('LPUSH', bell, '')
    end
end
redis.pcall('LTRIM', bell, 0, {MOST_TOKENS} - 1)
""")
"""Put back what a worker has taken and not begun, and ring. Arguments: the ids, in their order."""

# It begins by removing something, see TURN.
DROP = Script(f"""{NOW}
local messages, taken, letters, contents = unpack(KEYS)
local message = redis.call('SREM', taken, ARGV[1]) == 1 and redis.call('HGET', messages, ARGV[1])
if message then
    redis.call('ZADD', letters, now(ARGV[2]), ARGV[1])
    redis.call('HSET', contents, ARGV[1], message)
    redis.call('HDEL', messages, ARGV[1])
end
""")
"""Make a message that a worker has taken a dead letter.

The keys are those of the queue's messages, of what the worker has taken, and of the dead letters: their ids by time,
and what was in them. Arguments: its id, the worker's time (milliseconds since 1970, for ``now``).
"""

# It begins by removing something, see TURN; and it is refused by a replica even where nobody is dead.
REVIVE = Script(f"""{NOW}
local namespace, time = ARGV[1], now(ARGV[2])
local dead_before, letters_before = time - ARGV[3], time - ARGV[4]
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', dead_before)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', dead_before)
for i = 5, #ARGV do
    local line = namespace .. ':' .. ARGV[i]
    for _, worker in ipairs(dead) do
        local taken = namespace .. ':__acks__.' .. worker .. '.' .. ARGV[i]
        for _, id in ipairs(redis.call('SMEMBERS', taken)) do
            if redis.call('HEXISTS', line .. '.msgs', id) == 1 then
                redis.call('LPUSH', line, id)
                redis.pcall('LPUSH', line .. '.bell', '')
            end
        end
        redis.call('DEL', taken)
    end
    redis.pcall('LTRIM', line .. '.bell', 0, {MOST_TOKENS} - 1)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', line .. '.XQ', '-inf', letters_before)) do
        redis.call('HDEL', line .. '.XQ.msgs', id)
    end
    redis.call('ZREMRANGEBYSCORE', line .. '.XQ', '-inf', letters_before)
end
""")
"""Do what Dramatiq's maintenance does, for all queues and without KEYS, which a Redis may forbid.

What dead workers had goes back to where it was taken from, ringing, and dead letters that are too old go. The key is
that of the signs of life. Arguments: the namespace, the worker's time (milliseconds since 1970, for ``now``), for how
long a dead worker has shown none, for how long a letter that is too old has been one (milliseconds), the queues' names.
"""

HELD = Script("""
local held = {}
for i = 1, #ARGV do held[i] = redis.call('HEXISTS', KEYS[1], ARGV[i]) end
return held
""")
"""Return, for each id, whether the queue (its messages) holds it: in line, or taken and not done with."""

"""``pace.py`` as Redis runs it: one round trip, atomic, by Redis's own clock.

Why a script of our own. The libraries count well (``throttled-py``'s GCRA by Redis's clock and in one round trip;
``limits`` and ``pyrate-limiter`` by the machine's clock, so that skew between machines shifts the windows), but the
most that they tell those who have to wait is when to try again, all the same time. None hands out places, none lets
one lane overtake another in the same count, and GCRA with a burst of five lets nearly ten calls through in a second.
"""

from __future__ import annotations

from typing import Any, Final

from axisor_executor.automation import Lane
from axisor_executor.limits.pace import GRACE, GUARDED, HORIZON, LONGEST_SLOW_DOWN, LONGEST_WAIT, Pace, Turn
from axisor_executor.redis_script import Script

CLOCK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""

# The state is a flat list: places (protect, default), told (the same), quiet until, guarded until, and then the calls
# of the last window, newest first, those of the lane `protect` as negative times. Times that are further ahead than
# any can be are those of a clock that was set back since; they are put right in the state, or they would be as far
# ahead at the next ask. (What is over is forgotten, lest it be ahead again then.) What is not such a list (another
# version's) is overwritten: an error here would count as a Redis that is away, and everything else that is shared
# with it.
BODY: Final = f"""
local GRACE, HORIZON, GUARDED = {GRACE}, {HORIZON}, {GUARDED}
local LONGEST_SLOW_DOWN, LONGEST_WAIT = {LONGEST_SLOW_DOWN}, {LONGEST_WAIT}
local PROTECT, DEFAULT, TOLD, QUIET, GUARD, SENT = 1, 2, 2, 5, 6, 6
local max, min, abs = math.max, math.min, math.abs
local lane, count, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local own_count, own_window, spacing = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local wait, place, slow_down = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local is_ours, state = pcall(cmsgpack.unpack, redis.pcall('GET', KEYS[1]))
is_ours = is_ours and type(state) == 'table' and #state >= SENT
for i = 1, is_ours and #state or 0 do is_ours = is_ours and type(state[i]) == 'number' and state[i] == state[i] end
if not is_ours then state = {{0, 0, 0, 0, 0, 0}} end
for i = PROTECT, QUIET do
    if state[i] + GRACE <= now then state[i] = 0 end
end
for i = PROTECT, DEFAULT do
    if state[i] > now + LONGEST_WAIT then state[i] = 0 end
    if state[TOLD + i] > now + LONGEST_SLOW_DOWN + HORIZON then state[TOLD + i] = 0 end
end
state[QUIET] = min(state[QUIET], now + LONGEST_SLOW_DOWN)
state[GUARD] = min(state[GUARD], now + GUARDED)
for i = SENT + 1, #state do state[i] = max(-now, min(state[i], now)) end
if place > now + LONGEST_WAIT then place = 0 end

local function keep()
    local needed = max(now + window, state[QUIET], state[GUARD], state[1] + GRACE, state[2] + GRACE, state[3], state[4])
    redis.call('SET', KEYS[1], cmsgpack.pack(state), 'PX', math.ceil((needed - now) / 1000))
end

if slow_down > 0 then
    state[QUIET] = max(state[QUIET], now + min(slow_down, LONGEST_SLOW_DOWN))
    keep()
    return {{0, 0}}
end

local turn = max(now, state[QUIET], place)
local own = 0
local owned_for = own_window
if lane == PROTECT then
    state[GUARD] = now + GUARDED
else
    if now < state[GUARD] then owned_for = window end
    if state[PROTECT] + GRACE > now then turn = max(turn, state[PROTECT] + spacing) end
end
for i = 1, #state - SENT do
    local signed = state[SENT + i]
    local at = abs(signed)
    if i == count then turn = max(turn, at + window) end
    if (signed < 0) == (lane == PROTECT) then
        own = own + 1
        if own == own_count then turn = max(turn, at + owned_for) end
    end
end
if place == 0 and state[lane] + GRACE > now then turn = max(turn, state[lane] + spacing) end

local after, granted_place = turn - now, 0
if after <= 0 then
    table.insert(state, SENT + 1, lane == PROTECT and -now or now)
    while #state > SENT + count or abs(state[#state]) + window <= now do state[#state] = nil end
    if state[lane] <= place then state[lane] = 0 end
elseif after <= wait then
    state[lane] = max(state[lane], turn)
    granted_place = turn
else
    local told = turn
    if state[TOLD + lane] > now then told = max(turn, state[TOLD + lane] + spacing) end
    if told > turn + HORIZON then told = turn end
    state[TOLD + lane] = told
    after = told - now
end
keep()
return {{after, granted_place}}
"""

_LANES: Final[dict[Lane, int]] = {"protect": 1, "default": 2}
_SCRIPT: Final = Script(CLOCK + BODY)


def arguments(pace: Pace, lane: Lane, wait: int = 0, place: int = 0, slow_down: int = 0) -> tuple[int, ...]:
    """Return what the script is given; above 0, ``slow_down`` makes it slow the caller down and count nothing."""
    rules = (pace.count, pace.window, pace.own_count, pace.own_window, pace.spacing)
    return (_LANES[lane], *rules, wait, place, slow_down)


def run(client: Any, key: str, given: tuple[int, ...]) -> Turn:
    """Run the script on one caller's key."""
    return Turn(*_SCRIPT.run(client, (key,), *given))

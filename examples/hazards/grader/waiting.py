"""Waiting for an event, never for a time; and why one may give up.

Where the evidence is that something does not happen (a zombie that is not reaped), a detector gives
up when all of the server has slept for ASLEEP, with nothing left to wake it; or, if it works on
without news, or is in a sleep(3) that ends by itself, after PATIENCE. A right server is done in
milliseconds, and a slow machine does not make it a wrong one.
"""
import time

PATIENCE = 3.0  # seconds without any news after which there will be none; -w
ASLEEP = 0.4  # the same, where the server has slept throughout
ABSENT = 0.1  # seconds at most that one look counts for: in a longer one the machine stood still
LOOK_AGAIN = 0.004  # seconds from one look at /proc to the next


class Unable(Exception):
    """What the trials cannot be run for, and what to do about it: exit status 2."""


class Undecided(Exception):
    """Why a trial has shown nothing, as on a machine that is too busy. Others may."""


class OutOfBounds(Undecided):
    """Why a trial has been ended: nothing may be waited for any more."""


class NotApplicable(Exception):
    """Why a trial can show nothing of this server, and no other will."""


def look_again():
    time.sleep(LOOK_AGAIN)


def eventually(condition, server=None, news=lambda: None, nap=look_again, asleep=ASLEEP):
    """Waits until `condition()` is true. Gives up when what `news()` says has not changed for
    PATIENCE, or for `asleep` seconds in which the server slept. Returns whether it came true."""
    last, quiet_since = news(), time.monotonic()
    awake_at = now = quiet_since
    while not condition():
        nap()
        before, now, latest = now, time.monotonic(), news()
        absent = max(now - before - min(ABSENT, asleep / 2), 0)
        quiet_since, awake_at = quiet_since + absent, awake_at + absent
        if latest != last:
            last, quiet_since, awake_at = latest, now, now
        elif server is None or not server.sleeps() or server.dozes():
            awake_at = now
        if now - quiet_since > PATIENCE or now - awake_at > asleep:
            return False
    return True

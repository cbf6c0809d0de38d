"""How much one provider is asked for: requests per second, and submits at once.

No rate is assumed: everything goes until the provider says 429 or breaks. That halves what it is asked, its answers
widen it again. Time comes in as `now`; what was learnt lives and dies with the process.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from receiver.domain import Ms, Work

SLOWEST_RATE = 0.2
OPEN_AFTER: Ms = 120_000
FIRST_WINDOW = 5
WIDEST_WINDOW = 200  # fewer than outbound has connections to one host: to wait for one takes of the answer's time
QUICK, SLOW = 1 / 10, 2 / 3  # of the time limit
WINDOW_RESTS_AFTER: Ms = 60_000
FULL_FOR: Ms = 60_000
SAME_REFUSAL: Ms = 3000  # how late others may hear of one
_MEASURED_OVER: Ms = 10_000
CALLBACKS_LOST = 3  # in a row
A_TURN: Ms = 20  # about what a commit takes
_WAITS_FOR: Ms = 2000


_OTHER = {Work.SUBMIT: Work.POLL, Work.POLL: Work.SUBMIT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How a budget stands, for who is to be told: submits that may begin (0: why not), and when requests may again.

    `asked_until` is the provider's own `Retry-After`, `full_until` how long it takes no more tasks; None where past.
    """

    rate: float | None
    next_at: Ms
    asked_until: Ms | None
    full_until: Ms | None
    under_way: int
    free: int


@dataclass(slots=True)
class Budget:
    """One provider's. `cap` is the operator's own limit in requests per second; None is none."""

    cap: float | None = None
    _rate: float | None = None
    _tokens: float = 1.0
    _held: int = 0
    _promised: int = 0
    _filled_at: Ms = 0
    _held_until: Ms = 0
    _narrowed_at: Ms = 0
    _window: float = FIRST_WINDOW
    _answered_at: Ms = 0
    _full_until: Ms = 0
    _places: int = 0
    _spent: deque[tuple[Ms, int]] = field(default_factory=deque)
    _turned_away: dict[Work, Ms] = field(default_factory=dict)
    _lead: int = 0
    _lost: int = 0

    @property
    def rate(self) -> float | None:
        """Requests per second now; None is as many as there are."""
        if self._rate is None:
            return self.cap
        return self._rate if self.cap is None else min(self._rate, self.cap)

    def allows(self, now: Ms, most: int, work: Work | None = None) -> int:
        """How many of `most` requests may begin now.

        Where submits and polls want more than there is, they take turns: neither may keep the other from the provider.
        """
        if now < self._held_until:
            return 0
        rate = self.rate
        if rate is None:
            return most
        self._fill(rate, now)
        allowed = min(most, max(int(self._tokens) - self._promised - self._held, 0))
        return allowed if work is None else self._in_turn(work, allowed, now)

    def _in_turn(self, work: Work, allowed: int, now: Ms) -> int:
        lead = self._lead if work is Work.SUBMIT else -self._lead
        if allowed and not (lead > 0 and self._waits(_OTHER[work], now)):
            self._turned_away.pop(work, None)
            return allowed
        self._turned_away[work] = now
        return 0

    def _waits(self, work: Work, now: Ms) -> bool:
        """Whether this kind of work was turned away lately, and asks again soon."""
        at = self._turned_away.get(work)
        return at is not None and 0 <= now - at < _WAITS_FOR + 2000 / (self.rate or 1000)

    def spent(self, now: Ms) -> bool:
        """Whether no request may begin now, even if what is only held is given back."""
        if self.rate is not None and now >= self._held_until:
            self._fill(self.rate, now)
            return self._tokens - self._promised < 1
        return now < self._held_until

    def next_at(self, now: Ms) -> Ms:
        """When the next request may begin."""
        if now < self._held_until:
            return self._held_until
        rate = self.rate
        if rate is None:
            return now
        left = self._in_hand(rate, now) - self._promised
        if left < 1:
            return now + round((1 - left) / rate * 1000) + 1
        return now if left - self._held >= 1 else now + A_TURN

    def room(self, now: Ms, *, under_way: int) -> Room:
        """How it stands while so many submits are under way. Changes nothing: any thread may ask."""
        return Room(
            rate=self.rate,
            next_at=self.next_at(now),
            asked_until=self._held_until if now < self._held_until else None,
            full_until=self._full_until if self.full(now) else None,
            under_way=under_way,
            free=max(self.window(now) - under_way, 0),
        )

    @contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Inside this block nobody else is allowed so many requests; those of them that begin are spent in it.

        Between asking what is allowed and the first byte lies a commit, and others ask meanwhile.
        """
        self._held += count
        try:
            yield
        finally:
            self._held -= count

    @contextmanager
    def promising(self, count: int) -> Iterator[None]:
        """The same of requests that will begin, unless something goes wrong."""
        self._promised += count
        try:
            yield
        finally:
            self._promised -= count

    def spend(self, count: int, now: Ms, work: Work | None = None) -> None:
        """Requests that began; counted whether the rate is limited or not, for a limit starts from what was sent."""
        if count and work is not None:
            more = count if work is Work.SUBMIT else -count
            self._lead = self._lead + more if self._waits(_OTHER[work], now) else 0
        if count:
            if (rate := self.rate) is not None:
                self._fill(rate, now)
            self._tokens -= count
            while self._spent and now - self._spent[0][0] >= _MEASURED_OVER:
                self._spent.popleft()
            self._spent.append((now, count))

    @property
    def held_until(self) -> Ms:
        """Nothing before this time; 0 where nothing was ever held."""
        return self._held_until

    @property
    def refused_at(self) -> Ms:
        """When the provider last said 429, or broke, to any process of ours; 0 is never."""
        return self._narrowed_at

    def refused_elsewhere(self, at: Ms, now: Ms) -> None:
        """Another process on the same database was refused: what all of them send halves together.

        What came at about the time of a refusal of our own is the same one.
        """
        if at - self._narrowed_at >= SAME_REFUSAL:
            self.narrow(now)
            self._narrowed_at = at

    def hold(self, now: Ms, retry_after_s: float | None) -> None:
        """Nothing before `Retry-After`."""
        self._held_until = max(self._held_until, now + round((retry_after_s or 0) * 1000))

    def narrow(self, now: Ms, retry_after_s: float | None = None) -> None:
        """The provider said 429, or broke: half of what was sent lately, and nothing before `Retry-After`."""
        self.hold(now, retry_after_s)
        if now - self._narrowed_at < 1000:
            return  # one burst of refusals is one refusal
        sent = sum(spent for at, spent in self._spent if now - at < _MEASURED_OVER) / (_MEASURED_OVER / 1000)
        self._rate = max((self._rate or max(sent, 1.0)) / 2, SLOWEST_RATE)
        self._narrowed_at, self._tokens, self._filled_at = now, 0.0, now

    def widen(self, now: Ms) -> None:
        """The provider answered: a little more; all of it again after two minutes without a refusal."""
        if self._rate is None:
            return
        if now - self._narrowed_at >= OPEN_AFTER:
            self._rate = None
        else:
            self._rate += max(self._rate * 0.02, 0.02)

    def window(self, now: Ms) -> int:
        """How many submits may be under way: few at first, one more for each answered one while so many are needed.

        So that a provider that takes requests and never answers costs a handful of doubtful tasks, not thousands.
        """
        window = int(self._rested(now))
        return min(self._places, window) if self.full(now) else window

    def _rested(self, now: Ms) -> float:
        return self._window if now - self._answered_at < WINDOW_RESTS_AFTER else min(self._window, FIRST_WINDOW)

    def submit_answered(self, now: Ms, *, under_way: int, took: float) -> None:
        """One of so many was answered, and took this share of its time limit.

        One that came late shows what more at once would lead to, answers that come too late, each a doubtful task:
        then one more for a whole window of them, and one less for each that all but missed its limit.
        """
        self._window = self._rested(now)
        if took >= SLOW:
            self._window = max(self._window - 1, 1)
        elif 2 * under_way >= self._window:
            self._window = min(self._window + (1 if took <= QUICK else 1 / self._window), WIDEST_WINDOW)
        self._answered_at = now

    def submit_lost(self) -> None:
        self._window = 1

    def fill_up(self, now: Ms) -> None:
        """Too many tasks of ours are with the provider: no submit until one of them ends, or a minute is over."""
        self._full_until, self._places = now + FULL_FOR, 0

    def full(self, now: Ms) -> bool:
        """Whether the provider takes a task only in the place of one that ended."""
        return now < self._full_until

    @property
    def callbacks_arrive(self) -> bool:
        """Whether polls may back off for callbacks: not where three tasks in a row ended, and none had come."""
        return self._lost < CALLBACKS_LOST

    def told_of_end(self, *, by_callback: bool) -> None:
        """A task that expected a callback ended: asked about because that came, or by a safety poll."""
        self._lost = 0 if by_callback else self._lost + 1

    def free_up(self) -> None:
        """One of our tasks ended: there is a place for another."""
        self._places += 1

    def submits_began(self, count: int, now: Ms) -> None:
        """Submits are requests like any other, and each takes a place."""
        self.spend(count, now, Work.SUBMIT)
        self._places = max(self._places - count, 0)

    def _fill(self, rate: float, now: Ms) -> None:
        self._tokens = self._in_hand(rate, now)
        self._filled_at = now

    def _in_hand(self, rate: float, now: Ms) -> float:
        # At most a second's worth: a pause is not saved up for a burst. Nor is anything owed for an hour that a clock
        # was put back.
        return min(self._tokens + max(now - self._filled_at, 0) / 1000 * rate, max(rate, 1.0))

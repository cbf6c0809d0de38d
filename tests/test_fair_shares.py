"""Who may begin how much, by table and by chance."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from receiver.fair_shares import Manner, Wish, fair_shares

SLOTS = 400


def wish(name: str, tenant: str = "default", manner: Manner = Manner.QUICK, **fields: int) -> Wish:
    return Wish(destination_id=name, tenant=tenant, manner=manner, **fields)


def many(count: int, **fields: Any) -> list[Wish]:
    return [wish(f"{fields.get('manner', 'quick')}{number}", **fields) for number in range(count)]


def test_alone_it_gets_what_it_wants() -> None:
    """Nothing is kept back for others that are not there, but the last eighth."""
    assert fair_shares([wish("a", wants=32)], SLOTS) == {"a": 32}
    assert fair_shares([wish("a", wants=1000)], SLOTS) == {"a": 350}
    assert fair_shares([], SLOTS) == {}


def test_a_new_one_alone_gets_half() -> None:
    """Nobody knows yet whether it will hold on to it."""
    assert fair_shares([wish("a", manner=Manner.NEW, wants=1000)], SLOTS) == {"a": 200}


def test_slow_ones_together_get_half_at_most_and_a_quick_one_all_it_wants() -> None:
    """200 tarpits leave a healthy one untouched, whoever is named first."""
    tarpits = many(200, manner=Manner.SLOW, wants=32)
    shares = fair_shares([*tarpits, wish("healthy", wants=100)], SLOTS)
    assert shares.pop("healthy") == 100
    assert sum(shares.values()) == 200
    full = many(200, manner=Manner.SLOW, under_way=1, wants=31)
    assert fair_shares([*full, wish("healthy", wants=100)], SLOTS) == {"healthy": 100}


def test_a_new_one_gets_its_first_beside_a_full_slow_half() -> None:
    """Else nobody would learn that it is quick; its second one waits for that."""
    full = many(200, manner=Manner.SLOW, under_way=1)
    assert fair_shares([*full, wish("new", manner=Manner.NEW, wants=32)], SLOTS) == {"new": 1}
    assert fair_shares([*full, wish("new", manner=Manner.NEW, under_way=1, wants=31)], SLOTS) == {}


def test_after_a_start_everybody_gets_a_first_one() -> None:
    """201 of whom nothing is known: none of the tarpits among them can hold more than one."""
    shares = fair_shares(many(201, manner=Manner.NEW, wants=32), SLOTS)
    assert set(shares.values()) == {1}
    assert len(shares) == 201


def test_tenants_first() -> None:
    """One with nine destinations gets no more than one with a single one."""
    shares = fair_shares([*many(9, tenant="big", wants=500), wish("small", "small", wants=500)], 80)
    assert sum(shares.values()) == 70
    assert shares["small"] == 35
    assert max(shares[f"quick{n}"] for n in range(9)) - min(shares[f"quick{n}"] for n in range(9)) <= 1


def test_what_is_under_way_counts() -> None:
    """Whoever has less gets the next one: of tenants, and of one tenant's destinations."""
    shares = fair_shares(
        [wish("a", "x", under_way=10, wants=9), wish("b", "x", under_way=2, wants=9), wish("c", "y", wants=9)], 24
    )
    # Twelve are left, three of which are for those who have nothing under way.
    assert shares == {"c": 9}
    shares = fair_shares([wish("a", under_way=10, wants=9), wish("b", under_way=2, wants=9)], 24)
    assert shares == {"b": 8, "a": 1}


def test_the_last_eighth_is_for_who_has_nothing_under_way() -> None:
    """However busy the others are, a newcomer need not wait for any of them."""
    busy = many(10, under_way=35, wants=100)
    assert fair_shares(busy, SLOTS) == {}
    assert fair_shares([*busy, *many(3, manner=Manner.NEW, wants=5)], SLOTS) == {"new0": 1, "new1": 1, "new2": 1}


def test_of_equals_the_first_named() -> None:
    """The caller shuffles: who comes first is left to chance, not to ids."""
    assert fair_shares([wish("b", wants=1), wish("a", wants=1)], 1) == {"b": 1}
    assert fair_shares([wish("a", wants=1), wish("b", wants=1)], 1) == {"a": 1}


WISHES = some.lists(
    some.builds(
        Wish,
        destination_id=some.uuids().map(str),
        tenant=some.sampled_from(["x", "y", "z"]),
        manner=some.sampled_from(list(Manner)),
        under_way=some.integers(0, 20),
        wants=some.integers(0, 40),
    ),
    max_size=40,
)


@given(wishes=WISHES, slots=some.integers(0, 200))
def test_whatever_is_asked_for(wishes: list[Wish], slots: int) -> None:
    """Never more than wanted, never more than there are; where room is left, nobody quick goes without."""
    shares = fair_shares(wishes, slots)
    wants = {each.destination_id: each.wants for each in wishes}
    taken = sum(each.under_way for each in wishes)
    assert all(0 < share <= wants[name] for name, share in shares.items())
    assert sum(shares.values()) <= max(slots - taken, 0)
    slow = sum(each.under_way for each in wishes if each.manner is Manner.SLOW)
    given_slow = sum(shares.get(each.destination_id, 0) for each in wishes if each.manner is Manner.SLOW)
    assert given_slow <= max(max(slots // 2, 1) - slow, 0)
    if taken + sum(shares.values()) < slots:
        starved = [each for each in wishes if each.wants and not each.under_way and each.destination_id not in shares]
        assert all(each.manner is Manner.SLOW for each in starved)

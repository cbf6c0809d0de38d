"""Tenants of very different sizes on a number of databases: how full the fullest one is."""

import heapq
import random

BY_HASH, BY_LOAD = "by hash", "each new one where most room is"
WAYS = (BY_HASH, BY_LOAD)


def fullest(way: str, *, tenants: int, largest: float, cells: int, seed: int = 1) -> float:
    """What the fullest database has to carry, 1 being an equal part; sizes fall as by Zipf from the largest's share."""
    sizes = _sizes(tenants, largest)
    chance = random.Random(seed)
    chance.shuffle(sizes)  # they come in any order
    loads = [(0.0, number) for number in range(cells)]
    for size in sizes:
        if way == BY_HASH:
            number = chance.randrange(cells)
            loads[number] = loads[number][0] + size, number
        else:
            load, number = loads[0]
            heapq.heapreplace(loads, (load + size, number))
    return max(load for load, _ in loads) * cells


def _sizes(tenants: int, largest: float) -> list[float]:
    """Shares that add up to 1, the first being so large: the exponent is found by halving."""
    low, high = 0.0, 3.0
    for _ in range(30):
        middle = (low + high) / 2
        whole = sum(rank**-middle for rank in range(1, tenants + 1))
        low, high = (middle, high) if 1 / whole < largest else (low, middle)
    sizes = [rank**-low for rank in range(1, tenants + 1)]
    whole = sum(sizes)
    return [size / whole for size in sizes]

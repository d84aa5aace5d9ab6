"""Large values: 20 MB through a client, and edits of them."""

import random

import redis

from harness import case, equal


def same(found, expected):
    """Equal, without printing megabytes when not."""
    if found != expected:
        raise AssertionError(f"{len(found or b'')} bytes found, {len(expected)} expected, or other ones")


def noise(seed, size):
    return random.Random(seed).randbytes(size)


@case
def a_large_value_is_set_read_and_replaced(r, server):
    first, second = noise(1, 20_000_000), noise(2, 20_000_001)
    equal(r.set("k", first), True)
    equal(r.strlen("k"), len(first))
    same(r.get("k"), first)
    equal(r.set("k", second, nx=True), None)
    same(r.set("k", second, get=True, ex=100), first)
    same(r.get("k"), second)
    equal(r.persist("k"), True)
    equal(r.mset({"a": first, "b": "small", "c": second}), True)
    found = r.mget("a", "b", "missing", "c")
    same(found[0], first)
    equal(found[1:3], [b"small", None])
    same(found[3], second)
    same(r.getdel("a"), first)
    equal(r.exists("a"), 0)


@case
def stretches_of_a_large_value_are_read_and_written(r, server):
    value = bytearray(noise(3, 20_000_000))
    r.set("k", bytes(value))
    same(r.getrange("k", 9_999_990, 10_000_010), bytes(value[9_999_990:10_000_011]))
    same(r.getrange("k", -5, -1), bytes(value[-5:]))
    equal(r.append("k", "the end"), 20_000_007)
    value += b"the end"
    equal(r.setrange("k", 10_000_000, "x" * 50), 20_000_007)
    value[10_000_000:10_000_050] = b"x" * 50
    more = noise(4, 5_000_000)
    equal(r.append("k", more), 25_000_007)
    value += more
    equal(r.setrange("k", 3, more), 25_000_007)
    value[3 : 3 + len(more)] = more
    equal(r.setrange("k", 30_000_000, "far"), 30_000_003)
    value += bytes(30_000_000 - len(value)) + b"far"
    same(r.get("k"), bytes(value))


@case
def a_large_value_is_no_number_and_has_a_greatest_length(r, server):
    r.set("k", noise(5, 2_000_000))
    refusals = [
        ("value is not an integer or out of range", ("INCR", "k")),
        ("value is not a valid float", ("INCRBYFLOAT", "k", "1")),
        ("string exceeds maximum allowed size (proto-max-bulk-len)", ("SETRANGE", "k", 512 * 1024 * 1024, "x")),
    ]
    for words, command in refusals:
        try:
            raise AssertionError(f"not refused: {r.execute_command(*command)!r}")
        except redis.ResponseError as error:
            equal(str(error), words)
    same(r.get("k"), noise(5, 2_000_000))

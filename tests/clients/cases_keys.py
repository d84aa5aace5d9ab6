"""Keys: existence, deletion, expiry, listing."""

import random
import time

from cases_strings import NOT_INTEGER, refused
from harness import case, equal


@case
def delete_unlink_exists(r, server):
    r.mset({"a": 1, "b": 2, "c": 3, "d": 4})
    equal(r.exists("a", "a", "b", "absent"), 3)
    equal(r.delete("a", "absent", "a"), 1)
    equal(r.unlink("b", "c", "absent"), 2)
    equal(r.keys(), [b"d"])
    equal(r.set("a", "again"), True)
    equal(r.get("a"), b"again")


@case
def type_of_a_key(r, server):
    r.set("k", "1")
    equal([r.type("k"), r.type("absent")], [b"string", b"none"])


@case
def expire_and_ttl(r, server):
    equal([r.ttl("absent"), r.pttl("absent"), r.expiretime("absent"), r.pexpiretime("absent")], [-2, -2, -2, -2])
    r.set("k", "v")
    equal([r.ttl("k"), r.pttl("k"), r.expiretime("k"), r.pexpiretime("k")], [-1, -1, -1, -1])
    equal([r.expire("absent", 10), r.expire("k", 100)], [False, True])
    assert 99 <= r.ttl("k") <= 100
    equal(r.pexpire("k", 50_500), True)
    assert 50_000 < r.pttl("k") <= 50_500
    at = int(time.time()) + 3000
    equal(r.expireat("k", at), True)
    equal([r.expiretime("k"), r.pexpiretime("k")], [at, at * 1000])
    equal(r.pexpireat("k", at * 1000 + 123), True)
    equal(r.pexpiretime("k"), at * 1000 + 123)
    equal(r.persist("k"), True)
    equal([r.persist("k"), r.persist("absent"), r.ttl("k")], [False, False, -1])


@case
def expire_conditions(r, server):
    r.set("k", "v")
    equal(r.expire("k", 100, xx=True), False)
    equal(r.expire("k", 100, gt=True), False)  # no expiry is the greatest
    equal(r.expire("k", 100, lt=True), True)
    equal(r.expire("k", 200, nx=True), False)
    equal(r.expire("k", 50, gt=True), False)
    equal(r.expire("k", 200, gt=True), True)
    equal(r.expire("k", 300, lt=True), False)
    equal(r.expire("k", 150, xx=True, lt=True), True)
    assert 149 <= r.ttl("k") <= 150
    refused("NX and XX, GT or LT options at the same time are not compatible", r.execute_command, "EXPIRE", "k", "10", "NX", "GT")
    refused("GT and LT options at the same time are not compatible", r.execute_command, "EXPIRE", "k", "10", "LT", "GT")
    refused("Unsupported option WHEN", r.execute_command, "EXPIRE", "k", "10", "WHEN")


@case
def expire_bounds(r, server):
    r.set("k", "v")
    refused(NOT_INTEGER, r.execute_command, "EXPIRE", "k", "soon")
    refused("invalid expire time in 'expire' command", r.execute_command, "EXPIRE", "k", "9223372036854775807")
    refused("invalid expire time in 'pexpire' command", r.execute_command, "PEXPIRE", "k", "9223372036854775807")
    for command, value in [("EXPIRE", "-1"), ("PEXPIRE", "0"), ("EXPIREAT", "1"), ("PEXPIREAT", "1000")]:
        r.set("k", "v")
        equal(r.execute_command(command, "k", value) in (1, True), True)
        equal(r.exists("k"), 0)


@case
def a_key_expires_when_its_time_has_come(r, server):
    r.set("short", "v", px=60)
    r.set("long", "v", px=60_000)
    deadline = time.monotonic() + 5
    while r.get("short") is not None:
        assert time.monotonic() < deadline, "never expired"
        time.sleep(0.01)
    equal([r.exists("short"), r.ttl("short"), r.get("long")], [0, -2, b"v"])
    equal(r.keys("*"), [b"long"])
    equal(r.set("short", "again", nx=True), True)
    equal(r.ttl("short"), -1)


@case
def keys_by_pattern(r, server):
    names = [b"one", b"two", b"three", b"four", b"f?ur", b"a[b]c", b"h*llo", b"hello", b"hallo"]
    r.mset({name: 1 for name in names})
    for pattern, expected in [
        ("*", names), ("*o*", [b"one", b"two", b"four", b"h*llo", b"hello", b"hallo"]), ("t??", [b"two"]), ("f\\?ur", [b"f?ur"]),
        ("h[ae]llo", [b"hello", b"hallo"]), ("h[^e]llo", [b"hallo", b"h*llo"]), ("h[a-d]llo", [b"hallo"]), ("h\\*llo", [b"h*llo"]),
        ("a\\[b\\]c", [b"a[b]c"]), ("one", [b"one"]), ("", []), ("on", []), ("h**o", [b"h*llo", b"hello", b"hallo"]),
    ]:
        equal(sorted(r.keys(pattern)), sorted(expected))


@case
def dbsize_and_randomkey(r, server):
    equal([r.dbsize(), r.randomkey()], [0, None])
    r.mset({f"k{i}": i for i in range(100)})
    equal(r.dbsize(), 100)
    found = {r.randomkey() for _ in range(300)}
    assert len(found) > 20 and all(key.startswith(b"k") for key in found), found
    r.delete(*[f"k{i}" for i in range(60)])
    equal(r.dbsize(), 40)


@case
def flushdb_and_flushall(r, server):
    for flush in (r.flushdb, r.flushall, lambda: r.flushdb(asynchronous=True), lambda: r.execute_command("FLUSHALL", "SYNC")):
        r.mset({f"k{i}": i for i in range(50)})
        equal(flush(), True)
        equal([r.dbsize(), r.keys(), r.get("k1")], [0, [], None])
        equal(r.set("k1", "back"), True)
        equal(r.get("k1"), b"back")
    refused("syntax error", r.execute_command, "FLUSHALL", "NOW")


@case
def scan_returns_every_key_once_they_stay(r, server):
    stays = {f"stay:{i}".encode() for i in range(2000)}
    r.mset({key: 1 for key in stays})
    seeded, found, cursor, turn = random.Random(1), [], 0, 0
    while turn == 0 or cursor != 0:
        cursor, page = r.scan(cursor, count=50)
        found += page
        r.set(f"come:{turn}", 1)
        r.delete(f"come:{seeded.randrange(turn + 1)}")
        turn += 1
        assert turn < 1000, "a full scan of 2,000 keys takes about 40 pages"
    equal(stays - set(found), set())


@case
def scan_options(r, server):
    r.mset({f"a:{i}": 1 for i in range(100)} | {f"b:{i}": 1 for i in range(100)})
    equal(len(set(r.scan_iter(match="a:*", count=10))), 100)
    equal(len(set(r.scan_iter(count=1000))), 200)
    equal(len(set(r.scan_iter(_type="string"))), 200)
    equal(len(set(r.scan_iter(_type="hash"))), 0)
    refused("invalid cursor", r.execute_command, "SCAN", "abc")
    refused("syntax error", r.execute_command, "SCAN", "0", "COUNT", "0")
    refused("syntax error", r.execute_command, "SCAN", "0", "LIMIT", "5")
    refused(NOT_INTEGER, r.execute_command, "SCAN", "0", "COUNT", "x")
    equal(r.scan(0, count=1)[0] > 0, True)


@case(differs="its cursors belong to the hash seed of one process")
def a_scan_goes_on_over_a_restart(r, server):
    if server.process is None:
        return  # somebody else's server
    keys = {f"key:{i}".encode() for i in range(3000)}
    r.mset({key: 1 for key in keys})
    found, cursor, turn = set(), 0, 0
    while turn == 0 or cursor != 0:
        cursor, page = r.scan(cursor, count=200)
        found.update(page)
        turn += 1
        if turn in (2, 5):
            server.restart()
    equal(keys - found, set())


@case
def everything_is_there_after_a_restart(r, server):
    if server.process is None:
        return
    at = int(time.time() * 1000) + 500_000
    r.mset({f"key:{i}": f"value {i}" for i in range(1000)})
    r.set("expires", "v", pxat=at)
    r.set("big", b"z" * 200_000)
    r.delete("key:7")
    server.restart()
    equal([r.get("key:999"), r.get("key:7"), r.pexpiretime("expires"), r.strlen("big")], [b"value 999", None, at, 200_000])
    equal(r.dbsize(), 1001)

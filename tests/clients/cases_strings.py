"""Strings: reading, writing, counting, parts of values, many keys at once."""

import random
import time

import redis

from harness import case, equal, wire


def refused(words, call, *args, **named):
    """The call must be refused in exactly these words (redis-py leaves the code ERR out)."""
    try:
        found = call(*args, **named)
    except redis.ResponseError as error:
        equal(str(error), words)
        return
    raise AssertionError(f"not refused: {found!r}")


NOT_INTEGER = "value is not an integer or out of range"


@case
def get_and_set(r, server):
    equal(r.get("k"), None)
    equal(r.set("k", "v"), True)
    equal(r.get("k"), b"v")
    binary = bytes(range(256)) * 3
    equal(r.set(binary, binary), True)
    equal(r.get(binary), binary)
    equal(r.set("empty", ""), True)
    equal(r.get("empty"), b"")
    equal(r.exists("empty"), 1)
    equal(r.set("", "the empty key"), True)
    equal(r.get(""), b"the empty key")


@case
def set_with_nx_and_xx(r, server):
    equal(r.set("k", "1", xx=True), None)
    equal(r.set("k", "1", nx=True), True)
    equal(r.set("k", "2", nx=True), None)
    equal(r.set("k", "3", xx=True), True)
    equal(r.get("k"), b"3")
    refused("syntax error", r.execute_command, "SET", "k", "v", "NX", "XX")
    refused("syntax error", r.execute_command, "SET", "k", "v", "NONSENSE")
    equal(r.execute_command("set", "k", "4", "xX"), True)


@case
def set_with_get(r, server):
    equal(r.set("k", "1", get=True), None)
    equal(r.set("k", "2", get=True), b"1")
    equal(r.set("k", "3", nx=True, get=True), b"2")
    equal(r.get("k"), b"2")
    equal(r.set("other", "3", nx=True, get=True), None)
    equal(r.get("other"), b"3")


@case
def set_with_expiry(r, server):
    equal(r.set("k", "v", ex=100), True)
    assert 99 <= r.ttl("k") <= 100
    equal(r.set("k", "v", px=50_000), True)
    assert 49_000 < r.pttl("k") <= 50_000
    at = int(time.time()) + 1000
    equal(r.set("k", "v", exat=at), True)
    equal(r.expiretime("k"), at)
    equal(r.set("k", "v", pxat=at * 1000 + 7), True)
    equal(r.pexpiretime("k"), at * 1000 + 7)
    equal(r.set("k", "w", keepttl=True), True)
    equal(r.pexpiretime("k"), at * 1000 + 7)
    equal(r.set("k", "w"), True)
    equal(r.ttl("k"), -1)
    equal(r.set("k", "v", pxat=1), True)
    equal(r.get("k"), None)
    refused("syntax error", r.execute_command, "SET", "k", "v", "EX", "10", "PX", "10")
    refused("syntax error", r.execute_command, "SET", "k", "v", "EX", "10", "KEEPTTL")
    refused("syntax error", r.execute_command, "SET", "k", "v", "EX")
    refused(NOT_INTEGER, r.execute_command, "SET", "k", "v", "EX", "ten")
    for option, value in [("EX", "0"), ("PX", "-1"), ("EX", "9223372036854775807"), ("EXAT", "0"), ("PX", "9223372036854775807")]:
        refused("invalid expire time in 'set' command", r.execute_command, "SET", "k", "v", option, value)


@case
def setnx_setex_psetex(r, server):
    equal(r.setnx("k", "1"), True)
    equal(r.setnx("k", "2"), False)
    equal(r.get("k"), b"1")
    equal(r.setex("k", 100, "3"), True)
    assert 99 <= r.ttl("k") <= 100
    equal(r.psetex("k", 100_000, "4"), True)
    assert 99_000 < r.pttl("k") <= 100_000
    equal(r.get("k"), b"4")
    refused("invalid expire time in 'setex' command", r.setex, "k", 0, "v")
    refused("invalid expire time in 'psetex' command", r.psetex, "k", -5, "v")
    refused(NOT_INTEGER, r.execute_command, "SETEX", "k", "1.5", "v")


@case
def getset_getdel_getex(r, server):
    equal(r.getset("k", "1"), None)
    equal(r.expire("k", 100), True)
    equal(r.getset("k", "2"), b"1")
    equal(r.ttl("k"), -1)
    equal(r.getex("k", ex=100), b"2")
    assert 99 <= r.ttl("k") <= 100
    equal(r.getex("k"), b"2")
    assert 99 <= r.ttl("k") <= 100
    at = int(time.time()) + 500
    equal(r.getex("k", pxat=at * 1000 + 1), b"2")
    equal(r.pexpiretime("k"), at * 1000 + 1)
    equal(r.getex("k", persist=True), b"2")
    equal(r.ttl("k"), -1)
    equal(r.getex("absent", ex=5), None)
    equal(r.getdel("k"), b"2")
    equal(r.getdel("k"), None)
    r.set("k", "v")
    refused("syntax error", r.execute_command, "GETEX", "k", "EX", "1", "PERSIST")
    refused("invalid expire time in 'getex' command", r.execute_command, "GETEX", "k", "EX", "0")


@case
def mget_mset_msetnx(r, server):
    equal(r.mset({"a": "1", "b": "2", "{x}c": "3"}), True)
    equal(r.mget("a", "absent", "b", "{x}c", "a"), [b"1", None, b"2", b"3", b"1"])
    equal(r.msetnx({"new": "1", "a": "9"}), False)
    equal(r.exists("new"), 0)
    equal(r.msetnx({"new": "1", "newer": "2"}), True)
    equal(r.mget("new", "newer", "a"), [b"1", b"2", b"1"])
    equal(r.execute_command("MSET", "twice", "1", "twice", "2"), True)
    equal(r.get("twice"), b"2")
    refused("wrong number of arguments for 'mset' command", r.execute_command, "MSET", "a", "1", "b")
    refused("wrong number of arguments for 'msetnx' command", r.execute_command, "MSETNX", "a", "1", "b")


@case
def counters(r, server):
    equal([r.incr("n"), r.incr("n", 41), r.decr("n"), r.decrby("n", 50), r.incrby("n", -1)], [1, 42, 41, -9, -10])
    equal(r.get("n"), b"-10")
    r.set("n", "9223372036854775806")
    equal(r.incr("n"), 9223372036854775807)
    refused("increment or decrement would overflow", r.incr, "n")
    r.set("n", "-9223372036854775808")
    refused("increment or decrement would overflow", r.decr, "n")
    refused("decrement would overflow", r.execute_command, "DECRBY", "n", "-9223372036854775808")
    for text in ["", "abc", " 1", "1 ", "01", "+1", "-0", "1.0", "9223372036854775808"]:
        r.set("n", text)
        refused(NOT_INTEGER, r.incr, "n")
    refused(NOT_INTEGER, r.execute_command, "INCRBY", "fresh", "x")
    r.setex("n", 100, "1")
    r.incr("n")
    assert 99 <= r.ttl("n") <= 100


@case
def incrbyfloat(r, server):
    equal(r.execute_command("INCRBYFLOAT", "n", "0.5"), 0.5)
    for start, step, result in [
        ("10.50", "0.1", b"10.6"), ("5.0e3", "2.0e2", b"5200"), ("3", "0", b"3"), ("-1.5", "1.5", b"0"), ("0.1", "0.2", b"0.3"),
        ("1e20", "0", b"100000000000000000000"), ("1", "-0.0000000001", b"0.9999999999"), ("3.0", "1", b"4"),
    ]:
        r.set("n", start)
        r.execute_command("INCRBYFLOAT", "n", step)
        equal(r.get("n"), result)
    r.set("n", "abc")
    refused("value is not a valid float", r.incrbyfloat, "n", 1)
    refused("value is not a valid float", r.execute_command, "INCRBYFLOAT", "fresh", "1x")
    r.set("n", "1")
    refused("increment would produce NaN or Infinity", r.execute_command, "INCRBYFLOAT", "n", "inf")


@case
def append_strlen(r, server):
    equal(r.strlen("k"), 0)
    equal(r.append("k", "Hello"), 5)
    equal(r.append("k", " World"), 11)
    equal(r.append("k", ""), 11)
    equal(r.get("k"), b"Hello World")
    equal(r.strlen("k"), 11)
    r.expire("k", 100)
    r.append("k", "!")
    assert 99 <= r.ttl("k") <= 100


@case
def ranges_of_a_value(r, server):
    r.set("k", "This is a string")
    for start, end, result in [
        (0, 3, b"This"), (-3, -1, b"ing"), (0, -1, b"This is a string"), (10, 100, b"string"), (5, 1, b""), (-100, 2, b"Thi"), (99, 100, b""),
        (-1, -5, b""), (-100, -50, b"T"),
    ]:
        equal(r.getrange("k", start, end), result)
    equal(r.getrange("absent", 0, -1), b"")
    equal(r.setrange("k", 5, "was"), 16)
    equal(r.get("k"), b"This wasa string")
    equal(r.setrange("padded", 3, "x"), 4)
    equal(r.get("padded"), b"\0\0\0x")
    equal(r.setrange("absent", 5, ""), 0)
    equal(r.exists("absent"), 0)
    equal(r.setrange("k", 100, ""), 16)
    refused("offset is out of range", r.execute_command, "SETRANGE", "k", "-1", "x")
    refused("string exceeds maximum allowed size (proto-max-bulk-len)", r.execute_command, "SETRANGE", "k", str(512 << 20), "x")
    refused(NOT_INTEGER, r.execute_command, "GETRANGE", "k", "a", "1")


@case
def large_values(r, server):
    seeded = random.Random(7)
    for size in (16 << 10, (16 << 10) + 1, 1 << 20, 5 << 20):
        value = seeded.randbytes(size)
        equal(r.set("big", value), True)
        equal(r.get("big") == value, True)
        equal(r.strlen("big"), size)
        equal(r.getrange("big", size // 2, size // 2 + 99), value[size // 2 : size // 2 + 100])
        equal(r.setrange("big", 1000, b"x" * 50), size)
        equal(r.append("big", b"tail"), size + 4)
        equal(r.get("big") == value[:1000] + b"x" * 50 + value[1050:] + b"tail", True)
        equal(r.expire("big", 100), True)
        equal(r.dbsize(), 1)
        equal(r.keys(), [b"big"])
    equal(r.set("big", "small"), True)
    equal(r.get("big"), b"small")
    equal(r.set("big", b"y" * 100_000), True)
    equal(r.delete("big"), 1)
    equal((r.exists("big"), r.dbsize(), r.get("big")), (0, 0, None))


@case
def pipelines(r, server):
    pipe = r.pipeline(transaction=False)
    for i in range(5000):
        pipe.set(f"p:{i}", i)
        pipe.get(f"p:{i}")
        pipe.incr("sum")
    answers = pipe.execute()
    equal(len(answers), 15_000)
    equal(answers[-3:], [True, b"4999", 5000])
    equal(r.dbsize(), 5001)
    pipe.incr("sum").execute_command("INCR", "p:x", "too many").get("sum")
    answers = pipe.execute(raise_on_error=False)
    equal([answers[0], answers[2]], [5001, b"5001"])
    assert isinstance(answers[1], redis.ResponseError), answers[1]


@case
def a_pipeline_is_answered_in_order_byte_by_byte(r, server):
    with wire(server) as w:
        w.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n$4\r\nPI")
        equal([w.line() for _ in range(4)], [b"+OK\r\n", b"$1\r\n", b"1\r\n", b":2\r\n"])
        w.send(b"NG\r\nPING\r\n")
        equal([w.line(), w.line()], [b"+PONG\r\n", b"+PONG\r\n"])

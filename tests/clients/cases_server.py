"""The connection and the server: greeting, client names, command table, settings, figures, and refusals in Redis' words."""

import redis

from cases_strings import refused
from harness import case, equal, wire


@case
def ping_and_echo(r, server):
    equal(r.ping(), True)
    with wire(server) as w:
        equal([w.ask("PING", "hello"), w.line()], [b"$5\r\n", b"hello\r\n"])
    equal(r.echo("x y"), b"x y")


@case
def hello_switches_the_protocol(r, server):
    with wire(server) as w:
        equal(w.ask("HELLO", "3")[:1], b"%")
    with wire(server) as w:
        equal(w.ask("HELLO", "2")[:1], b"*")
    with wire(server) as w:
        equal(w.ask("GET", "absent"), b"$-1\r\n")


@case
def hello_in_words(r, server):
    with wire(server) as w:
        equal(w.ask("HELLO", "4"), b"-NOPROTO unsupported protocol version\r\n")
        equal(w.ask("HELLO", "x"), b"-ERR Protocol version is not an integer or out of range\r\n")
        equal(w.ask("HELLO", "3", "NONSENSE"), b"-ERR Syntax error in HELLO option 'NONSENSE'\r\n")
        equal(w.ask("GET", "absent"), b"$-1\r\n")  # still RESP2
    with wire(server) as w:
        w.send(b"HELLO 3\r\n")
        count = int(w.line()[1:])
        skip_pairs(w, count)
        equal(w.ask("GET", "absent"), b"_\r\n")


def skip_pairs(w, count):
    """Reads the values of a map whose values are strings, integers or empty arrays."""
    for _ in range(2 * count):
        head = w.line()
        if head[:1] == b"$":
            w.line()


@case
def client_names(r, server):
    client = redis.Redis(host=server.host, port=server.port, client_name="tester", single_connection_client=True)
    equal(client.client_getname(), "tester")
    equal(client.client_setname("another"), True)
    equal(client.client_getname(), "another")
    number = client.client_id()
    assert number > 0
    mine = client.client_info()
    equal([mine["name"], int(mine["id"])], ["another", number])
    equal([c["name"] for c in client.client_list() if int(c["id"]) == number], ["another"])
    refused("Client names cannot contain spaces, newlines or special characters.", client.client_setname, "a b")
    client.close()


@case(differs="it came with Redis 7.2")
def client_setinfo(r, server):
    equal(r.client_setinfo("LIB-NAME", "x"), True)
    equal(r.client_setinfo("LIB-VER", "1.2"), True)


@case
def command_table(r, server):
    count = r.command_count()
    assert count > 50, count
    found = r.execute_command("COMMAND", "INFO", "get", "set", "mget")
    entries = list(found.values()) if isinstance(found, dict) else found
    equal([(e["name"], e["arity"], e["first_key_pos"], e["last_key_pos"], e["step_count"]) for e in entries],
          [("get", 2, 1, 1, 1), ("set", -3, 1, 1, 1), ("mget", -2, 1, -1, 1)])
    with wire(server) as w:
        equal(w.ask("COMMAND", "COUNT")[:1], b":")
        equal(w.ask("COMMAND", "DOCS", "get")[:1], b"*")
        equal(int(w.line()[1:]) > 0, True)


@case
def config_of_known_keys(r, server):
    equal(r.config_get("appendonly"), {"appendonly": r.config_get("appendonly")["appendonly"]})
    assert "save" in r.config_get("save")
    assert set(r.config_get("appendonly", "save")) == {"appendonly", "save"}
    equal(r.config_get("no-such-key"), {})
    equal(r.config_set("save", ""), True)
    refused("Unknown option or number of arguments for CONFIG SET - 'no-such-key'", r.config_set, "no-such-key", "1")


@case
def info_sections(r, server):
    facts = r.info()
    for field in ("redis_version", "process_id", "uptime_in_seconds", "connected_clients", "used_memory", "role"):
        assert field in facts, field
    r.set("k", "v")
    equal(r.info("keyspace")["db0"]["keys"], 1)
    equal(r.info("replication")["role"], "master")


@case
def select_only_zero(r, server):
    equal(r.execute_command("SELECT", "0"), True)
    refused("DB index is out of range", r.execute_command, "SELECT", "-1")
    refused("DB index is out of range", r.execute_command, "SELECT", "99999")
    with wire(server) as w:
        equal(w.ask("SELECT", "x"), b"-ERR value is not an integer or out of range\r\n")


@case
def readonly_readwrite_wait(r, server):
    equal(r.execute_command("WAIT", "0", "100"), 0)
    equal(r.wait(0, 0), 0)
    refused("timeout is negative", r.execute_command, "WAIT", "0", "-1")


@case(differs="Redis refuses both unless it is part of a Redis Cluster")
def readonly_and_readwrite_are_taken_by_an_owner(r, server):
    equal([r.execute_command("READONLY"), r.execute_command("READWRITE")], [True, True])


@case
def quit_and_reset(r, server):
    with wire(server) as w:
        w.ask("CLIENT", "SETNAME", "x")
        equal(w.ask("RESET"), b"+RESET\r\n")
        equal(w.ask("CLIENT", "GETNAME"), b"$-1\r\n")
        equal(w.ask("QUIT"), b"+OK\r\n")
        equal(w.line(), b"")


@case
def wrong_arity_in_words(r, server):
    for command in (
        ["GET"], ["GET", "a", "b"], ["SET", "a"], ["SETNX", "a"], ["SETEX", "a", "1"], ["PSETEX", "a", "1"], ["GETSET", "a"], ["GETDEL"], ["GETEX"],
        ["MGET"], ["MSET", "a"], ["MSETNX"], ["DEL"], ["UNLINK"], ["EXISTS"], ["TYPE"], ["INCR"], ["DECR", "a", "b"], ["INCRBY", "a"],
        ["DECRBY", "a"], ["INCRBYFLOAT", "a"], ["APPEND", "a"], ["STRLEN"], ["GETRANGE", "a", "1"], ["SETRANGE", "a", "1"], ["EXPIRE", "a"],
        ["PEXPIRE", "a"], ["EXPIREAT", "a"], ["PEXPIREAT", "a"], ["TTL"], ["PTTL"], ["EXPIRETIME"], ["PEXPIRETIME"], ["PERSIST"], ["KEYS"], ["SCAN"],
        ["RANDOMKEY", "a"], ["DBSIZE", "a"], ["ECHO"], ["SELECT"], ["WAIT", "1"], ["PING", "a", "b"],
    ):
        refused(f"wrong number of arguments for '{command[0].lower()}' command", r.execute_command, *command)
    equal(r.ping(), True)


@case
def unknown_commands_in_words(r, server):
    with wire(server) as w:
        equal(w.ask("NOSUCH"), b"-ERR unknown command 'NOSUCH', with args beginning with: \r\n")
        equal(w.ask("nosuch", "a", "b c"), b"-ERR unknown command 'nosuch', with args beginning with: 'a' 'b c' \r\n")
        equal(w.ask("PING"), b"+PONG\r\n")
        equal(w.ask("CLIENT", "NOSUCH"), b"-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n")
        equal(w.ask("CONFIG", "NOSUCH"), b"-ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.\r\n")
        equal(w.ask("PING"), b"+PONG\r\n")


@case
def malformed_requests_in_words(r, server):
    for sent, words in [
        (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*2\r\n+GET\r\n", b"-ERR Protocol error: expected '$', got '+'\r\n"),
        (b"*1\r\n$x\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$-5\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$999999999999\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*2147483648\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b'SET "a b\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    ]:
        with wire(server) as w:
            w.send(sent)
            equal(w.line(), words)
            equal(w.line(), b"")  # closed
    equal(r.ping(), True)


@case
def inline_requests(r, server):
    with wire(server) as w:
        w.send(b"SET inline 'a \"b\"'\r\nGET inline\r\n\r\n*0\r\n*-1\r\nPING\n")
        equal([w.line() for _ in range(4)], [b"+OK\r\n", b"$5\r\n", b'a "b"\r\n', b"+PONG\r\n"])


@case(differs="Redis knows these types; here they come later, and are refused until then")
def commands_of_other_types_are_unknown(r, server):
    refused("unknown command 'LPUSH', with args beginning with: 'l' 'x' ", r.execute_command, "LPUSH", "l", "x")

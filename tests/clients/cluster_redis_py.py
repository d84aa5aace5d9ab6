"""A cluster whose slots change hands, through redis-py's RedisCluster: no error may reach the application, and no count may be wrong.

    cluster_redis_py.py --at 127.0.0.1:7700 --seconds 5
"""

import argparse
import sys
import threading
import time

import redis
import redis.cluster

THREADS = 4


def connect(args, **options):
    host, port = args.at.rsplit(":", 1)
    return redis.RedisCluster(host=host, port=int(port), socket_timeout=20, **options)


def count(client, number, until, outcome):
    """Counts up keys of its own, each turn seeing its own write."""
    turns = {}
    try:
        while time.monotonic() < until:
            key = f"count:{number}:{len(turns) % 997}" if len(turns) < 997 else f"count:{number}:{sum(turns.values()) % 997}"
            found = client.incr(key)
            turns[key] = turns.get(key, 0) + 1
            if found != turns[key]:
                raise AssertionError(f"{key}: {found} instead of {turns[key]}")
            if int(client.get(key)) != found:
                raise AssertionError(f"{key}: a read does not see the write before it")
        outcome[number] = (turns, None)
    except Exception as error:  # told by the caller
        outcome[number] = (turns, error)


def pipelines(client, until, outcome):
    turn = 0
    try:
        while time.monotonic() < until:
            turn += 1
            pipeline = client.pipeline()
            for i in range(50):
                pipeline.set(f"pipe:{i}", turn)
            pipeline.execute()
            if client.mget_nonatomic([f"pipe:{i}" for i in range(50)]) != [str(turn).encode()] * 50:
                raise AssertionError(f"pipeline {turn} is not there as a whole")
        outcome["pipelines"] = ({"pipelines": turn}, None)
    except Exception as error:
        outcome["pipelines"] = ({"pipelines": turn}, error)


def large(client, until, outcome):
    """Values that arrive and leave in pieces."""
    turn = 0
    try:
        while time.monotonic() < until:
            turn += 1
            value = (b"%08d" % turn) * (400 << 10)
            client.set(f"large:{turn % 16}", value)
            if client.get(f"large:{turn % 16}") != value:
                raise AssertionError(f"large value {turn} is another one")
        outcome["large"] = ({"large": turn}, None)
    except Exception as error:
        outcome["large"] = ({"large": turn}, error)


def whole(args):
    """What is asked of every node once: counts, scans, tokens, and the texts about the cluster."""
    client = connect(args, protocol=3)
    client.mset_nonatomic({f"whole:{i}": i for i in range(200)})
    replicas = connect(args, load_balancing_strategy=redis.cluster.LoadBalancingStrategy.ROUND_ROBIN)
    if replicas.mget_nonatomic([f"whole:{i}" for i in range(200)]) != [str(i).encode() for i in range(200)]:
        raise AssertionError("reads at standbys differ")
    if client.cluster_keyslot("foo") != 12182 or client.cluster_info()["cluster_state"] != "ok":
        raise AssertionError("the cluster does not call itself whole")
    if not client.execute_command("LIMOSA.TOKEN", target_nodes=client.get_random_node()).startswith(b"l1:"):
        raise AssertionError("no token")
    replicas.close()
    client.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", required=True, help="HOST:PORT of one node")
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    until, outcome = time.monotonic() + args.seconds, {}
    work = [threading.Thread(target=count, args=(connect(args, protocol=2 + i % 2), i, until, outcome)) for i in range(THREADS)]
    work += [threading.Thread(target=do, args=(connect(args), until, outcome)) for do in (pipelines, large)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    errors = [f"{who}: {error!r}" for who, (_, error) in outcome.items() if error]
    for who, (turns, _) in outcome.items():
        client = connect(args) if isinstance(who, int) else None
        for key, expected in turns.items() if client else []:
            if int(client.get(key)) != expected:
                errors.append(f"{key}: {client.get(key)} instead of {expected}")
    if not errors:
        whole(args)
    for error in errors:
        print(error)
    done = sum(sum(turns.values()) for turns, _ in outcome.values())
    print(f"redis-py RedisCluster: {done} turns, {len(errors)} errors reached the application")
    return 1 if errors or len(outcome) != THREADS + 2 else 0


if __name__ == "__main__":
    sys.exit(main())

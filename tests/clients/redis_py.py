"""Every command of the client port through redis-py, in RESP2 and RESP3: `N passed, 0 failed`.

    redis_py.py --at 127.0.0.1:7600
    redis_py.py --server 'limosa serve --data {dir} --resp 127.0.0.1:{port} --peer 127.0.0.1:{port2} --http 127.0.0.1:{port3}'

With --oracle the server is real Redis: the same expectations must hold there, so that they say what Redis does and not what we think
it does. Cases where the two may differ give their reason and are left out of that run.
All data of the server is deleted.
"""

import argparse
import sys

import redis

import cases_keys  # noqa: F401  (registers its cases)
import cases_large  # noqa: F401
import cases_server  # noqa: F401
import cases_strings  # noqa: F401
import harness


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--at", help="HOST:PORT of a running server; cases that restart it are left out")
    where.add_argument("--server", help="command that starts one; {port}, {port2}, {port3} and {dir} are filled in")
    parser.add_argument("--oracle", action="store_true", help="the server is real Redis")
    args = parser.parse_args()
    server = harness.Given(args.at) if args.at else harness.Server(args.server)
    try:
        clients = [
            (f"RESP{protocol}", redis.Redis(host=server.host, port=server.port, protocol=protocol, socket_timeout=20))
            for protocol in (2, 3)
        ]
        passed, failed = harness.run(server, clients, args.oracle)
    finally:
        server.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
